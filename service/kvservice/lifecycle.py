"""From settings to a serving pod, and from SIGTERM to its end: unready first, then drained, then gone."""

import asyncio
import gc
import hmac
import logging
import random
import secrets
import time
from contextlib import AsyncExitStack

from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from kvservice import parts
from kvservice.core.admission import Admission
from kvservice.core.clock import system_us
from kvservice.core.filling import Filling
from kvservice.core.namespaces import Namespaces
from kvservice.core.ports import Feed
from kvservice.core.records import Records
from kvservice.core.session import Sessions
from kvservice.core.suspects import Suspects
from kvservice.http import auth
from kvservice.http.admin import admin_app
from kvservice.http.app import Outermost, create_app
from kvservice.http.door import Limits
from kvservice.parts import Parts
from kvservice.servers import Server, Shutdown, listen
from kvservice.settings import Settings
from kvservice.telemetry import Telemetry

log = logging.getLogger(__name__)


async def serve(settings: Settings, version: str) -> None:
    """Runs until a signal ends it. Raises StartError, SettingsError."""
    shutdown = Shutdown()
    telemetry = parts.telemetry(settings, version)
    async with AsyncExitStack() as stack:
        data_socket = stack.enter_context(listen(settings.bind, settings.port, "KV_PORT"))
        admin_socket = stack.enter_context(listen(settings.bind, settings.admin_port, "KV_ADMIN_PORT"))
        authenticator = auth.Authenticator(
            auth.load(settings.auth_file) if settings.auth_file else None, time.monotonic
        )
        region = await parts.take(settings, telemetry, stack)
        suspects = Suspects(region.store, region.cache, telemetry.suspect_given_up)
        telemetry.watch_suspects(lambda: len(suspects))
        namespaces = Namespaces(settings.namespaces)
        records = _records(settings, region, suspects, namespaces, telemetry, stack)
        app = _app(settings, records, region.feed, namespaces, authenticator, version)
        await _warm_up(app)
        data = Server(Outermost(app, telemetry, shutdown.is_draining), settings, has_tls=True)
        admin = Server(admin_app(region.store, telemetry, shutdown.is_draining), settings)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(admin.serve(sockets=[admin_socket]))
            serving = tasks.create_task(data.serve(sockets=[data_socket]))
            upkeep = [tasks.create_task(work) for work in (suspects.mend(), region.skew.watch())]
            _say_started(settings)
            await shutdown.asked()
            log.info("draining", extra={"drain_s": settings.drain_s})
            await shutdown.drained(settings.drain_s)
            data.stop()
            await serving
            for each in upkeep:
                each.cancel()
            admin.stop()
    log.info("stopped")


def _records(
    settings: Settings,
    region: Parts,
    suspects: Suspects,
    namespaces: Namespaces,
    telemetry: Telemetry,
    stack: AsyncExitStack,
) -> Records:
    filling = Filling(
        store=region.store,
        cache=region.cache,
        suspects=suspects,
        clock=region.clock,
        count=telemetry.filling,
        random=random.random,
    )
    stack.push_async_callback(filling.close)
    records = Records(
        store=region.store,
        filling=filling,
        suspects=suspects,
        clock=region.clock,
        namespaces=namespaces,
        region=settings.region,
        max_value_bytes=settings.max_value_bytes,
        random=random.random,
    )
    stack.push_async_callback(records.close)
    return records


def _app(
    settings: Settings,
    records: Records,
    feed: Feed | None,
    namespaces: Namespaces,
    authenticator: auth.Authenticator,
    version: str,
) -> FastAPI:
    secret = settings.session_secret.get_secret_value().encode() or secrets.token_bytes(32)
    return create_app(
        records=records,
        feed=feed,
        admission=Admission(settings.max_in_flight, time.monotonic),
        namespaces=namespaces,
        authenticator=authenticator,
        sessions=Sessions(secret, settings.region, system_us),
        limits=Limits(settings.max_id_bytes, settings.max_value_bytes),
        deadline_s=settings.deadline_s,
        page_secret=hmac.digest(secret, b"pages", "sha256"),
        relay_token=settings.relay_token.get_secret_value(),
        now_us=system_us,
        version=version,
    )


async def _warm_up(app: ASGIApp) -> None:
    """One read before the first client's, which would else pay for what is made lazily. Then all that was made so far
    leaves the garbage collector's sight: its pauses are most of FastAPI's tail latency."""
    path = "/v1/kv/warm-up/none"
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Message) -> None:
        pass

    await app(scope, receive, send)
    gc.collect()
    gc.freeze()


def _say_started(settings: Settings) -> None:
    fields = settings.model_dump(include={"bind", "port", "admin_port", "region", "revision", "pod", "build"})
    store = ",".join(settings.cassandra_points) or str(settings.store_path)
    own_secret = bool(settings.session_secret.get_secret_value())
    log.info(
        "started",
        extra={**fields, "store": store, "cache_shards": len(settings.cache_urls), "own_session_secret": own_secret},
    )

"""From settings to a serving pod, and from SIGTERM to its end: unready first, then drained, then gone."""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from ipaddress import ip_address

import uvicorn
from starlette.types import ASGIApp, Message

from kvservice.cache.none import NoCache
from kvservice.core.clock import HybridClock, system_us, writer_slot
from kvservice.core.ports import Cache
from kvservice.core.records import Records
from kvservice.core.suspects import Suspects
from kvservice.errors import StartError
from kvservice.http.admin import admin_app
from kvservice.http.app import Outermost, create_app
from kvservice.http.records import Limits
from kvservice.settings import Settings
from kvservice.store.embedded import EmbeddedStore
from kvservice.telemetry import Telemetry

log = logging.getLogger(__name__)


class Shutdown:
    """SIGTERM asks for an end with a drain; SIGINT, or a second SIGTERM, for one without."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._hurried = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)

    def is_draining(self) -> bool:
        return self._asked.is_set()

    async def asked(self) -> None:
        await self._asked.wait()

    async def drained(self, drain_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await self._hurried.wait()

    def _terminate(self) -> None:
        if self._asked.is_set():
            self._hurried.set()
        self._asked.set()

    def _interrupt(self) -> None:
        self._asked.set()
        self._hurried.set()


async def serve(settings: Settings, version: str) -> None:
    """Runs until a signal ends it. Raises StartError."""
    shutdown = Shutdown()
    telemetry = Telemetry(
        edges_s=settings.latency_edges_s,
        build=settings.build,
        version=version,
        region=settings.region,
        revision=settings.revision,
    )
    async with AsyncExitStack() as stack:
        data_socket = stack.enter_context(_listen(settings.bind, settings.port, "KV_PORT"))
        admin_socket = stack.enter_context(_listen(settings.bind, settings.admin_port, "KV_ADMIN_PORT"))
        store = EmbeddedStore(settings.store_path, telemetry)
        stack.push_async_callback(store.close)
        cache = _cache(settings, telemetry, stack)
        suspects = Suspects(store, cache, telemetry.suspect_given_up)
        telemetry.watch_suspects(lambda: len(suspects))
        clock = HybridClock(system_us, writer_slot(settings.pod))
        records = Records(store=store, cache=cache, clock=clock, suspects=suspects, region=settings.region)
        app = create_app(records, Limits(settings.max_id_bytes, settings.max_value_bytes), version)
        await _warm_up(app)
        data = _Server(Outermost(app, telemetry, shutdown.is_draining), settings)
        admin = _Server(admin_app(store, telemetry, shutdown.is_draining), settings)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(admin.serve(sockets=[admin_socket]))
            serving = tasks.create_task(data.serve(sockets=[data_socket]))
            mending = tasks.create_task(suspects.mend())
            _say_started(settings)
            await shutdown.asked()
            log.info("draining", extra={"drain_s": settings.drain_s})
            await shutdown.drained(settings.drain_s)
            data.stop()
            await serving
            mending.cancel()
            admin.stop()
    log.info("stopped")


def _cache(settings: Settings, telemetry: Telemetry, stack: AsyncExitStack) -> Cache:
    if not settings.cache_url:
        return NoCache()
    from kvservice.cache.redis import RedisCache  # a quarter of a pod's memory, for those who need it

    cache = RedisCache(settings.cache_url, settings.cache_ttl_s, telemetry)
    stack.push_async_callback(cache.close)
    return cache


def _listen(address: str, port: int, variable: str) -> socket.socket:
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=2048)
    except OSError as error:
        raise StartError(
            f"cannot listen on {address} port {port}: {os.strerror(error.errno or 0)}; see KV_BIND and {variable}"
        ) from error


class _Server(uvicorn.Server):
    """uvicorn, told by us when to stop: two of them share a loop, and neither may take the signals or poll."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            headers=[("server", f"kvservice/{settings.build}")],
            timeout_keep_alive=settings.keep_alive_s,
            timeout_graceful_shutdown=round(settings.finish_s),
        )
        super().__init__(config)
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """No new connections; requests in flight are finished."""
        self._stopped.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not self._stopped.is_set():
            await self.on_tick(0)  # the Date header
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._stopped.wait()


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
    log.info("started", extra={**fields, "store": str(settings.store_path), "cache": bool(settings.cache_url)})

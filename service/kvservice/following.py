"""The process `kvservice relay`: follows the change feeds of all peers until a signal ends it."""

import asyncio
import logging
import ssl
from contextlib import AsyncExitStack

from kvservice import parts
from kvservice.errors import SettingsError
from kvservice.http.admin import admin_app
from kvservice.relay.peer_feed import PeerFeed
from kvservice.relay.relay import Relay
from kvservice.servers import Server, Shutdown, listen
from kvservice.settings import Settings

log = logging.getLogger(__name__)


async def relay(settings: Settings, version: str) -> None:
    """Runs until a signal ends it. Raises StartError, SettingsError."""
    token, tls = _checked(settings)
    shutdown = Shutdown()
    telemetry = parts.telemetry(settings, version)
    async with AsyncExitStack() as stack:
        admin_socket = stack.enter_context(listen(settings.bind, settings.admin_port, "KV_ADMIN_PORT"))
        region = await parts.take(settings, telemetry, stack)
        admin = Server(admin_app(region.store, telemetry, shutdown.is_draining), settings)
        relays = []
        for peer, url in settings.peers.items():
            feed = PeerFeed(url, token, tls)
            stack.push_async_callback(feed.close)
            relays.append(
                Relay(
                    here=settings.region,
                    peer=peer,
                    feed=feed,
                    store=region.store,
                    cache=region.cache,
                    clock=region.clock,
                    telemetry=telemetry,
                )
            )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(admin.serve(sockets=[admin_socket]))
            works = [tasks.create_task(work) for work in (*(each.run() for each in relays), region.skew.watch())]
            log.info("started", extra={"region": settings.region, "peers": settings.peers})
            await shutdown.asked()
            for each in works:
                each.cancel()
            admin.stop()
    log.info("stopped")


def _checked(settings: Settings) -> tuple[str, ssl.SSLContext]:
    token = settings.relay_token.get_secret_value()
    if not settings.peers:
        raise SettingsError("KV_PEERS is empty: name the other regions, such as us-east=http://10.0.0.1:8080")
    if settings.region in settings.peers:
        raise SettingsError(f"KV_PEERS names {settings.region}, which is this region (KV_REGION); leave it out")
    if not token:
        raise SettingsError("KV_RELAY_TOKEN is empty: give the token of the peers' change feeds")
    try:
        return token, ssl.create_default_context(cafile=settings.peers_ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"KV_PEERS_CA={settings.peers_ca}: {error}; expected a PEM file of certificates") from None

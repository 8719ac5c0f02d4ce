"""What every process that serves is made of: its ports, the servers on them, and how it hears that it shall end."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address

import uvicorn
from starlette.types import ASGIApp

from kvservice.errors import StartError
from kvservice.settings import Settings


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


def listen(address: str, port: int, variable: str) -> socket.socket:
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=2048)
    except OSError as error:
        raise StartError(
            f"cannot listen on {address} port {port}: {os.strerror(error.errno or 0)}; see KV_BIND and {variable}"
        ) from error


class Server(uvicorn.Server):
    """uvicorn, told by us when to stop: two of them share a loop, and neither may take the signals or poll."""

    def __init__(self, app: ASGIApp, settings: Settings, *, has_tls: bool = False) -> None:
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
            ssl_certfile=settings.tls_certificate if has_tls else None,
            ssl_keyfile=settings.tls_key if has_tls else None,
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

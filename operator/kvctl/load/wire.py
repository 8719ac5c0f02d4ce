"""A lean HTTP/1.1 client: bytes out, an answer back through a callback. No tasks and no objects that the hot path does
not need, because whatever the client takes itself would be counted as the server's.

One request at a time a connection; as many connections as there are requests under way. A request whose kept-alive
connection turns out to be closed, before a byte of the answer, is sent once more, as HTTP clients do.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import httptools

from kvctl.load.report import CONNECTION, TIMEOUT


class Answer(NamedTuple):
    """`is_cached`: the service says that it is a copy, by giving its age."""

    status: int
    body: bytes
    is_cached: bool


Done = Callable[[Answer | str], None]  # the answer, or the kind of failure


class Pool:
    """The connections to one address (scheme, host and port of `url`)."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._tls else 80)
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self.all: set[_Connection] = set()
        self.idle: list[_Connection] = []

    def request(self, data: bytes, done: Done) -> None:
        """`data` is the whole request. `done` is called once, and later than this returns."""
        flight = _Flight(data, done)
        flight.timer = self._loop.call_later(self._timeout_s, _give_up, flight)
        if self.idle:
            self.idle.pop().carry(flight)
        else:
            self.connect(flight)

    def connect(self, flight: "_Flight") -> None:
        task = self._loop.create_task(self._carried(flight))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def close(self) -> None:
        for connection in list(self.all):
            connection.transport.abort()
        for task in self._connecting:
            task.cancel()

    async def _carried(self, flight: "_Flight") -> None:
        try:
            _, connection = await self._loop.create_connection(
                lambda: _Connection(self), self._host, self._port, ssl=self._tls
            )
        except OSError:
            flight.end(CONNECTION)
            return
        connection.carry(flight)


class _Flight:
    """A request until its end."""

    __slots__ = ("_done", "connection", "data", "is_second_try", "timer")

    def __init__(self, data: bytes, done: Done) -> None:
        self.data = data
        self._done: Done | None = done
        self.connection: _Connection | None = None
        self.is_second_try = False
        self.timer: asyncio.TimerHandle

    @property
    def is_over(self) -> bool:
        return self._done is None

    def end(self, outcome: Answer | str) -> None:
        if (done := self._done) is not None:
            self._done = None
            self.timer.cancel()
            done(outcome)


def _give_up(flight: _Flight) -> None:
    flight.end(TIMEOUT)
    if flight.connection:
        flight.connection.transport.abort()


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._flight: _Flight | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answered = 0
        self._begin()

    def _begin(self) -> None:
        self._has_begun = False
        self._is_cached = False
        self._body: list[bytes] = []

    def carry(self, flight: _Flight) -> None:
        if flight.is_over:  # it took too long to connect
            self._pool.idle.append(self)
            return
        self._flight, flight.connection = flight, self
        self.transport.write(flight.data)

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._pool.all.add(self)

    def data_received(self, data: bytes) -> None:
        self._has_begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        self._pool.all.discard(self)
        if self in self._pool.idle:
            self._pool.idle.remove(self)
        flight, self._flight = self._flight, None
        if flight is None or flight.is_over:
            return
        if self._answered and not self._has_begun and not flight.is_second_try:
            flight.is_second_try = True
            self._pool.connect(flight)
        else:
            flight.end(CONNECTION)

    # what the parser calls

    def on_header(self, name: bytes, _: bytes) -> None:
        if name.lower() == b"age":
            self._is_cached = True

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        flight, self._flight = self._flight, None
        answer = Answer(self._parser.get_status_code(), b"".join(self._body), self._is_cached)
        self._answered += 1
        self._begin()
        if flight is None or not self._parser.should_keep_alive():
            self.transport.close()
        else:
            self._pool.idle.append(self)
        if flight is not None:
            flight.end(answer)

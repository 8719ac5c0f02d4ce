"""The operations of the Store port, over Cassandra.

Plain writes (`put`) have the envelope's version as their timestamp, by which Cassandra merges cells: the newest wins
wherever, whenever and however often it is sent. So they, and reads, are simply sent again when an answer is lost.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from kvservice.cassandra import PATIENCE_S, Nodes
from kvservice.core.envelope import version_of
from kvservice.core.ports import Decide, Key, Page, Row
from kvservice.errors import OutcomeUnknown
from kvservice.store.bounded import Bounded
from kvservice.store.cassandra.conditional import Update, claim, ttl_s
from kvservice.store.cassandra.requests import AnswerLost, How, Requests
from kvservice.telemetry import Telemetry

FIRST_ROWS = 16  # of a scan, whose rows may be as large as values may be; then four times as many each time


class CassandraStore:
    """`await CassandraStore.connect(...)` makes one, in the event loop that uses it."""

    replicates = True

    def __init__(self, requests: Requests, telemetry: Telemetry) -> None:
        self._requests = requests
        self._bounded = Bounded(telemetry)
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @classmethod
    async def connect(
        cls, nodes: Nodes, keyspace: str, telemetry: Telemetry, *, patience_s: float = PATIENCE_S
    ) -> "CassandraStore":
        """Raises StartError if no node answers for `patience_s`, or the tables are not there."""
        return cls(await Requests.connect(nodes, keyspace, patience_s=patience_s), telemetry)

    async def read(self, key: Key, *, quorum: bool = True) -> bytes | None:
        with self._bounded.operation("read"):
            rows = await self._requests.repeat("read", key, How.QUORUM if quorum else How.ONE)
            return rows[0][0] if rows else None

    async def put(self, key: Key, envelope: bytes, *, announce: bool = True) -> None:  # noqa: ARG002 keeps no feed
        with self._bounded.operation("write"):
            try:
                await self._requests.repeat("put", (version_of(envelope), ttl_s(envelope), envelope, *key))
            except AnswerLost as error:
                raise OutcomeUnknown(f"{error}; the write may have happened, to repeat it is safe") from error

    async def update(self, key: Key, decide: Decide, token: str | None = None) -> None:
        with self._bounded.operation("write"):
            async with self._turn(key):
                await Update(self._requests, key, decide, token).run()

    async def claim(self, key: Key, token: str, receipt: bytes) -> bytes:
        with self._bounded.operation("write"):
            async with self._turn(key):
                return await claim(self._requests, key, token, receipt)

    async def scan(self, namespace: str, id_: str, *, prefix: str, after: str, limit: int, max_bytes: int) -> Page:
        with self._bounded.operation("scan"):
            start, end = _next(after) if after >= prefix else prefix, _end(prefix)
            rows: list[Row] = []
            asked, room = min(limit, FIRST_ROWS), max_bytes
            while end is None or start < end:
                bounds = (start,) if end is None else (start, end)
                found = await self._requests.repeat("scan_below" if end else "scan", (namespace, id_, *bounds, asked))
                for item, envelope in found:
                    room -= len(envelope)
                    if rows and room < 0:
                        return Page(rows, True)
                    rows.append(Row(item, envelope))
                if len(found) < asked or len(rows) == limit:
                    return Page(rows, len(found) == asked)
                start, asked = _next(rows[-1].item), min(limit - len(rows), 4 * asked)
            return Page(rows, False)

    async def now_us(self) -> int | None:
        """Some node's clock, to the millisecond."""
        with self._bounded.operation("read"):
            return int((await self._requests.repeat("now", (), How.ONE))[0][0]) * 1000

    async def ping(self) -> None:
        await self.read(Key("", ""), quorum=False)

    async def close(self) -> None:
        await self._bounded.idle()
        await self._requests.close()

    @asynccontextmanager
    async def _turn(self, key: Key) -> AsyncIterator[None]:
        """Conditional writes to one id would only push each other back, so those of this pod go one by one."""
        lock = self._turns.setdefault((key.namespace, key.id), asyncio.Lock())
        async with lock:
            yield


def _next(item: str) -> str:
    """No text without NUL is between the two."""
    return item + "\x01"


def _end(prefix: str) -> str | None:
    """The first text after all that begin so; None: there is none."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    code = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if code == 0xD800 else code)  # surrogates are no text

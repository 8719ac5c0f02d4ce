"""The embedded store: one SQLite file in WAL mode, shared by all pods of a region on one machine.

Writes of this process travel together: while one transaction runs, the next ones gather, and share one BEGIN IMMEDIATE.
`synchronous=NORMAL`: what was acknowledged survives the kill of any process (it is in the operating system's hands); a
power cut may take the last moments, and leaves the file whole. Each transaction also removes about as many expired rows
as it writes, so that they never pile up.

Of concurrent writes of two regions the second meets the first here, in one transaction; so conflicts are noted here.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kvservice.core.clock import system_us
from kvservice.core.conflicts import Conflicts
from kvservice.core.ports import Decide, FeedPage, Key, Page
from kvservice.errors import InvalidRequest, StoreUnavailable
from kvservice.store import embedded_rows as rows
from kvservice.store.bounded import Bounded
from kvservice.store.embedded_file import Connections, create
from kvservice.telemetry import Telemetry

READERS = 3  # threads; more only wait for the interpreter's lock
BATCH = 64  # writes a transaction: other processes wait for its end
FORGET = 8  # expired rows that a transaction removes beyond one for each write
FEED_PAUSE_S = 0.05  # between two looks for changes; other processes make them, too

A = TypeVar("A")
Work = Callable[[sqlite3.Connection], Any]


class _Write(NamedTuple):
    """`committed` hears what the work made, even if its caller has gone meanwhile."""

    work: Work
    committed: Callable[[Any], None]
    done: asyncio.Future[Any]


class _Failed(NamedTuple):
    """What a write raised, which hurts no other of its transaction."""

    error: Exception


class EmbeddedStore:
    """Make it inside the event loop that uses it. Raises StartError if the file cannot be had."""

    replicates = False

    def __init__(self, path: Path, telemetry: Telemetry, now_us: Callable[[], int] = system_us) -> None:
        create(path, now_us())
        self._bounded = Bounded(telemetry)
        self._now_us = now_us
        self._conflicts = Conflicts(telemetry.conflict)
        self._connections = Connections(path)
        self._readers = ThreadPoolExecutor(READERS, "kv-read")
        self._writer = ThreadPoolExecutor(1, "kv-write")
        self._waiting: list[_Write] = []
        self._committing: asyncio.Task[None] | None = None

    async def read(self, key: Key, *, quorum: bool = True) -> bytes | None:  # noqa: ARG002 - there is one copy
        return await self._look("read", partial(rows.read, key=key))

    async def scan(self, namespace: str, id_: str, *, prefix: str, after: str, limit: int, max_bytes: int) -> Page:
        return await self._look(
            "scan",
            lambda connection: rows.scan(connection, namespace, id_, prefix, after, limit, max_bytes),
        )

    async def put(self, key: Key, envelope: bytes, *, announce: bool = True) -> None:
        def committed(present: bytes | None) -> None:
            if present is not None:
                self._conflicts.meet(key, envelope, present)

        await self._write(partial(rows.put, key=key, envelope=envelope, announce=announce), committed)

    async def update(self, key: Key, decide: Decide, token: str | None = None) -> None:
        await self._write(partial(rows.update, key=key, decide=decide, token=token, now_us=self._now_us()))

    async def claim(self, key: Key, token: str, receipt: bytes) -> bytes:
        claimed: bytes = await self._write(
            partial(rows.claim, key=key, token=token, receipt=receipt, now_us=self._now_us())
        )
        return claimed

    async def changes(self, cursor: str, limit: int) -> FeedPage:
        """A page of the change feed, at once; see `EmbeddedFeed`. Raises InvalidRequest."""
        if cursor and not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18):
            raise InvalidRequest(f"{cursor!r} is no cursor of this feed; send one as it was received, or none")
        return await self._look("feed", partial(_in_one_state, cursor=int(cursor) if cursor else None, limit=limit))

    async def now_us(self) -> None:
        return None

    async def ping(self) -> None:
        await self.read(Key("", ""))

    async def close(self) -> None:
        """Waits for what is under way."""
        while self._committing:
            await self._committing
        for threads in (self._readers, self._writer):
            await asyncio.to_thread(threads.shutdown)
        self._connections.close()

    async def _look(self, op: str, look: Callable[[sqlite3.Connection], A]) -> A:
        with self._operation(op):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._readers, lambda: look(self._connections.mine()))

    async def _write(self, work: Work, committed: Callable[[Any], None] = lambda _: None) -> Any:
        """-> what `work` returns, once it is committed."""
        with self._operation("write"):
            done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Write(work, committed, done))
            if self._committing is None:
                self._committing = asyncio.create_task(self._commit_waiting())
            return await done

    @contextmanager
    def _operation(self, op: str) -> Iterator[None]:
        with self._bounded.operation(op):
            try:
                yield
            except sqlite3.Error as error:
                raise StoreUnavailable(f"the store cannot {op}: {error}; try again") from error

    async def _commit_waiting(self) -> None:
        """One transaction after the other, while anything waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                try:
                    outcomes = await loop.run_in_executor(self._writer, self._commit, batch)
                except Exception as error:  # whatever it is, its waiters must hear of it
                    outcomes = [_Failed(error)] * len(batch)
                for write, outcome in zip(batch, outcomes, strict=True):
                    _settle(write, outcome)
        finally:
            self._committing = None

    def _commit(self, batch: list[_Write]) -> list[Any]:
        """-> what each write made, or raised. Raises sqlite3.Error if none was written."""
        connection = self._connections.mine()
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [_outcome(connection, write.work) for write in batch]
            rows.forget(connection, self._now_us(), len(batch) + FORGET)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return outcomes


class EmbeddedFeed:
    """The change feed that an embedded store keeps. It is complete: an entry is the present envelope of a record that
    this region wrote last. `lost` only if the file was replaced, or if a deleted or expired record's entry was too old
    to be kept."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store

    async def read(self, cursor: str, *, limit: int, wait_s: float) -> FeedPage:
        now_s = asyncio.get_running_loop().time
        give_up_s = now_s() + wait_s
        page = await self._store.changes(cursor, limit)
        while not (page.entries or page.lost) and (left_s := give_up_s - now_s()) > 0:
            await asyncio.sleep(min(FEED_PAUSE_S, left_s))
            page = await self._store.changes(page.cursor, limit)
        return page


def _in_one_state(connection: sqlite3.Connection, cursor: int | None, limit: int) -> FeedPage:
    connection.execute("BEGIN")
    try:
        return rows.feed(connection, cursor, limit)
    finally:
        connection.execute("ROLLBACK")


def _outcome(connection: sqlite3.Connection, work: Work) -> Any:
    try:
        return work(connection)
    except sqlite3.Error:
        raise
    except Exception as error:
        return _Failed(error)


def _settle(write: _Write, outcome: Any) -> None:
    is_failed = isinstance(outcome, _Failed)
    if not is_failed:
        write.committed(outcome)
    if write.done.cancelled():
        return
    if is_failed:
        write.done.set_exception(outcome.error)
    else:
        write.done.set_result(outcome)

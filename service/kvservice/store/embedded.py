"""The embedded store: one SQLite file in WAL mode, shared by all pods of a region on one machine.

Writes of this process travel together: while one transaction runs, the next ones gather, and share one BEGIN IMMEDIATE.
`synchronous=NORMAL`: what was acknowledged survives the kill of any process (it is in the operating system's hands); a
power cut may take the last moments, and leaves the file whole.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from kvservice.core.ports import Key
from kvservice.errors import StartError, StoreBusy, StoreUnavailable, Unavailable
from kvservice.telemetry import Telemetry

READERS = 3  # threads; more only wait for the interpreter's lock
BATCH = 64  # writes a transaction: other processes wait for its end
IN_FLIGHT = 1024  # operations under way or waiting; beyond it they are refused
BUSY_MS = 2000  # how long a transaction waits for another process's
START_S = 10  # how long opening waits for other pods that start, too

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    namespace TEXT NOT NULL, id TEXT NOT NULL, envelope BLOB NOT NULL, PRIMARY KEY (namespace, id)
)"""
_READ = "SELECT envelope FROM record WHERE namespace = ? AND id = ?"
_WRITE = """
INSERT INTO record (namespace, id, envelope) VALUES (?, ?, ?)
ON CONFLICT (namespace, id) DO UPDATE SET envelope = excluded.envelope"""

A = TypeVar("A")
B = TypeVar("B")
Decide = Callable[[bytes | None], bytes | None]


class _Write(NamedTuple):
    key: Key
    decide: Decide
    done: asyncio.Future[None]


class EmbeddedStore:
    """Make it inside the event loop that uses it. Raises StartError if the file cannot be had."""

    def __init__(self, path: Path, telemetry: Telemetry) -> None:
        _create(path)
        self._path = path
        self._telemetry = telemetry
        self._connections = _Connections(path)
        self._readers = ThreadPoolExecutor(READERS, "kv-read")
        self._writer = ThreadPoolExecutor(1, "kv-write")
        self._waiting: list[_Write] = []
        self._committing: asyncio.Task[None] | None = None
        self._in_flight = 0

    async def read(self, key: Key) -> bytes | None:
        with self._operation("read"):
            return await self._on(self._readers, self._select, key)

    async def update(self, key: Key, decide: Decide) -> None:
        with self._operation("write"):
            done = asyncio.get_running_loop().create_future()
            self._waiting.append(_Write(key, decide, done))
            if self._committing is None:
                self._committing = asyncio.create_task(self._commit_waiting())
            await done

    async def ping(self) -> None:
        await self.read(Key("", ""))

    async def close(self) -> None:
        """Waits for what is under way."""
        while self._committing:
            await self._committing
        for threads in (self._readers, self._writer):
            await asyncio.to_thread(threads.shutdown)
        self._connections.close()

    async def _on(self, threads: ThreadPoolExecutor, work: Callable[[A], B], argument: A) -> B:
        return await asyncio.get_running_loop().run_in_executor(threads, work, argument)

    @contextmanager
    def _operation(self, op: str) -> Iterator[None]:
        """Bounds, times and translates."""
        try:
            if self._in_flight >= IN_FLIGHT:
                raise StoreBusy(f"{IN_FLIGHT} operations wait for the store already; send less, or try again later")
            self._in_flight += 1
            try:
                with self._telemetry.store_op(op):
                    yield
            except sqlite3.Error as error:
                raise StoreUnavailable(f"the store cannot {op}: {error}; try again") from error
            finally:
                self._in_flight -= 1
        except Unavailable:
            self._telemetry.store_error(op)
            raise

    def _select(self, key: Key) -> bytes | None:
        row = self._connections.mine().execute(_READ, key).fetchone()
        return None if row is None else row[0]

    async def _commit_waiting(self) -> None:
        """One transaction after the other, while anything waits."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                try:
                    outcomes = await self._on(self._writer, self._commit, batch)
                except Exception as error:  # whatever it is, its waiters must hear of it
                    outcomes = [error] * len(batch)
                for write, outcome in zip(batch, outcomes, strict=True):
                    _settle(write.done, outcome)
        finally:
            self._committing = None

    def _commit(self, batch: list[_Write]) -> list[Exception | None]:
        """-> what each write's `decide` raised. Raises sqlite3.Error if none was written."""
        connection = self._connections.mine()
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [_apply(connection, write) for write in batch]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return outcomes


def _apply(connection: sqlite3.Connection, write: _Write) -> Exception | None:
    row = connection.execute(_READ, write.key).fetchone()
    try:
        envelope = write.decide(None if row is None else row[0])
    except Exception as error:
        return error
    if envelope is not None:
        connection.execute(_WRITE, (*write.key, envelope))
    return None


def _settle(done: asyncio.Future[None], outcome: Exception | None) -> None:
    if done.cancelled():
        return
    if outcome is None:
        done.set_result(None)
    else:
        done.set_exception(outcome)


class _Connections:
    """One connection a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []

    def mine(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = _connect(self._path)
            self._all.append(self._local.connection)
        connection: sqlite3.Connection = self._local.connection
        return connection

    def close(self) -> None:
        for connection in self._all:
            connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _create(path: Path) -> None:
    """Makes the file and its table, unless they are there. Changing to WAL does not wait for others, so this does."""
    if not path.parent.is_dir():
        raise StartError(
            f"KV_STORE_PATH={path}: the folder {path.parent} does not exist; create it or mount the volume"
        )
    give_up_s = time.monotonic() + START_S
    while True:
        try:
            with closing(_connect(path)) as connection:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                connection.execute(_SCHEMA)
        except sqlite3.Error as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > give_up_s:
                raise StartError(f"KV_STORE_PATH={path}: {error}; expected a file of this service, or none") from error
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise StartError(f"KV_STORE_PATH={path}: the file system allows no write-ahead log; use a local disk")
        return

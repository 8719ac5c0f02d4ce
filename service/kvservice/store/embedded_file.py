"""The embedded store's file: its layout, how it is made and opened. One connection a thread."""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from kvservice.errors import StartError

BUSY_MS = 2000  # how long a transaction waits for another process's
START_S = 10  # how long opening waits for other pods that start, too
LAYOUT = 1  # the file's user_version

# A record's `seq` is new with each write and never used again: it is the record's place in the change feed.
# `feed.floor`: up to there entries may be missing. A file's numbers begin at the time of its birth, in microseconds, so
# that a cursor of a file that it replaced lies below.
_SCHEMA = """
CREATE TABLE record (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    item TEXT NOT NULL,
    announced INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    UNIQUE (namespace, id, item)
);
CREATE INDEX record_expiry ON record (expires_us) WHERE expires_us > 0;
CREATE TABLE receipt (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    token TEXT NOT NULL,
    made_us INTEGER NOT NULL,
    receipt BLOB NOT NULL,
    PRIMARY KEY (namespace, id, token)
) WITHOUT ROWID;
CREATE INDEX receipt_age ON receipt (made_us);
CREATE TABLE feed (floor INTEGER NOT NULL)
"""


class Connections:
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


def create(path: Path, now_us: int) -> None:
    """Makes the file and its tables, unless they are there; waits for others that do the same. Raises StartError."""
    if not path.parent.is_dir():
        raise StartError(
            f"KV_STORE_PATH={path}: the folder {path.parent} does not exist; create it or mount the volume"
        )
    give_up_s = time.monotonic() + START_S
    while True:
        try:
            with closing(_connect(path)) as connection:
                _lay_out(connection, path, now_us)
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]  # does not wait for others
        except sqlite3.Error as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > give_up_s:
                raise StartError(f"KV_STORE_PATH={path}: {error}; expected a file of this service, or none") from error
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise StartError(f"KV_STORE_PATH={path}: the file system allows no write-ahead log; use a local disk")
        return


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _lay_out(connection: sqlite3.Connection, path: Path, now_us: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    if layout == LAYOUT:
        connection.execute("ROLLBACK")
        return
    if layout != 0 or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StartError(
            f"KV_STORE_PATH={path}: this file has layout {layout}, this build's stores have {LAYOUT}: another build "
            "or another program made it; move it away, or name another file"
        )
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute("INSERT INTO sqlite_sequence VALUES ('record', ?)", (now_us,))
    connection.execute("INSERT INTO feed VALUES (?)", (now_us,))
    connection.execute(f"PRAGMA user_version = {LAYOUT}")
    connection.execute("COMMIT")

"""What the embedded store does to its rows, each as a function of a connection. Transactions are the caller's."""

import sqlite3
from typing import Any

from kvservice.core.envelope import expires_us_of, newer
from kvservice.core.ports import Change, Decide, Entry, FeedPage, Key, Page, Row

HOUR_US = 3_600_000_000
RECEIPT_US = 24 * HOUR_US
EXPIRED_US = RECEIPT_US + HOUR_US  # how long an expired row is kept: a retry must not win over what is forgotten
FEED_BYTES = 3 * 2**20  # of envelopes a page: it travels as base64

_READ = "SELECT envelope FROM record WHERE namespace = ? AND id = ? AND item = ?"
_WRITE = """
INSERT OR REPLACE INTO record (namespace, id, item, announced, expires_us, envelope) VALUES (?, ?, ?, ?, ?, ?)"""
_SCAN = "SELECT item, envelope FROM record WHERE namespace = ? AND id = ? AND item >= ? ORDER BY item"
_RECEIPT = "SELECT receipt FROM receipt WHERE namespace = ? AND id = ? AND token = ? AND made_us > ?"
_GIVE_RECEIPT = "INSERT OR REPLACE INTO receipt (namespace, id, token, made_us, receipt) VALUES (?, ?, ?, ?, ?)"
_FEED = """
SELECT seq, namespace, id, item, envelope FROM record WHERE seq > ? AND announced ORDER BY seq LIMIT ?"""
_FEED_ENDS = "SELECT (SELECT floor FROM feed), (SELECT seq FROM sqlite_sequence WHERE name = 'record')"
_FORGET = """
DELETE FROM record WHERE seq IN (
    SELECT seq FROM record WHERE expires_us > 0 AND expires_us < ? ORDER BY expires_us LIMIT ?
) RETURNING seq, announced"""
_FORGET_RECEIPTS = """
DELETE FROM receipt WHERE (namespace, id, token) IN (
    SELECT namespace, id, token FROM receipt WHERE made_us < ? ORDER BY made_us LIMIT ?
)"""


def read(connection: sqlite3.Connection, key: Key) -> bytes | None:
    return _only(connection, _READ, key)


def put(connection: sqlite3.Connection, key: Key, envelope: bytes, *, announce: bool) -> bytes | None:
    """-> the other envelope that was there, newer or not."""
    present = read(connection, key)
    if present == envelope:
        return None
    if present is None or newer(envelope, present):
        _write(connection, key, envelope, announce=announce)
    return present


def update(connection: sqlite3.Connection, key: Key, decide: Decide, token: str | None, now_us: int) -> None:
    present = read(connection, key)
    receipt = None if token is None else _receipt(connection, key, token, now_us)
    change: Change = decide(present, receipt)
    if change.envelope is not None:
        _write(connection, key, change.envelope, announce=True)
    if token is not None and change.receipt is not None:
        connection.execute(_GIVE_RECEIPT, (key.namespace, key.id, token, now_us, change.receipt))


def claim(connection: sqlite3.Connection, key: Key, token: str, receipt: bytes, now_us: int) -> bytes:
    present = _receipt(connection, key, token, now_us)
    if present is not None:
        return present
    connection.execute(_GIVE_RECEIPT, (key.namespace, key.id, token, now_us, receipt))
    return receipt


def scan(
    connection: sqlite3.Connection, namespace: str, id_: str, prefix: str, after: str, limit: int, max_bytes: int
) -> Page:
    begin = max(prefix, after + "\0")  # the first name that can follow `after`: none holds a NUL
    rows: list[Row] = []
    left = max_bytes
    for item, envelope in connection.execute(_SCAN, (namespace, id_, begin)):
        if not item.startswith(prefix):
            break
        left -= len(envelope)
        if len(rows) == limit or (rows and left < 0):
            return Page(rows, more=True)
        rows.append(Row(item, envelope))
    return Page(rows, more=False)


def feed(connection: sqlite3.Connection, cursor: int | None, limit: int) -> FeedPage:
    """Wants a transaction, for its two reads must see one state. `cursor` None: from the oldest."""
    floor, end = connection.execute(_FEED_ENDS).fetchone()
    is_lost = cursor is not None and not floor <= cursor <= end
    after = cursor if cursor is not None and cursor <= end else 0
    entries: list[Entry] = []
    left = FEED_BYTES
    for seq, namespace, id_, item, envelope in connection.execute(_FEED, (after, limit)):
        left -= len(envelope)
        if entries and left < 0:
            return FeedPage(entries, str(after), is_lost)
        entries.append(Entry(Key(namespace, id_, item), envelope))
        after = seq
    return FeedPage(entries, str(end if len(entries) < limit else after), is_lost)


def forget(connection: sqlite3.Connection, now_us: int, limit: int) -> None:
    """Removes at most `limit` records that have expired, and as many receipts."""
    gone = connection.execute(_FORGET, (now_us - EXPIRED_US, limit)).fetchall()
    unheard = max((seq for seq, announced in gone if announced), default=0)
    if unheard:
        connection.execute("UPDATE feed SET floor = max(floor, ?)", (unheard,))
    connection.execute(_FORGET_RECEIPTS, (now_us - RECEIPT_US, limit))


def _write(connection: sqlite3.Connection, key: Key, envelope: bytes, *, announce: bool) -> None:
    connection.execute(_WRITE, (*key, announce, expires_us_of(envelope), envelope))


def _receipt(connection: sqlite3.Connection, key: Key, token: str, now_us: int) -> bytes | None:
    return _only(connection, _RECEIPT, (key.namespace, key.id, token, now_us - RECEIPT_US))


def _only(connection: sqlite3.Connection, statement: str, values: tuple[Any, ...]) -> bytes | None:
    row = connection.execute(statement, values).fetchone()
    return None if row is None else row[0]

"""The embedded store's change feed, what it forgets, and the conflicts it meets."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from store_contract import BEGIN, DAY_US, becomes, receipt_of

from kvservice.core.clock import STEP
from kvservice.core.envelope import Envelope, encode
from kvservice.core.ports import Entry, Key
from kvservice.errors import InvalidRequest
from kvservice.store.embedded import EmbeddedFeed, EmbeddedStore
from kvservice.store.embedded_rows import EXPIRED_US
from kvservice.telemetry import Telemetry

HOUR_US = 3_600_000_000
A, B, C = (Key("ns", name, "item") for name in "abc")


def envelope(
    step: int, region: str = "here", *, expires_us: int = 0, tombstone: bool = False, seen: int | None = None
) -> bytes:
    """`seen`: the step of the write of "there" that this one knew."""
    vector = {} if seen is None else {"there": BEGIN + seen * STEP}
    return encode(Envelope(BEGIN + step * STEP, region, "", b"", expires_us, tombstone, vector))


class Pod:
    """A store with a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.db"
        self.now_us = BEGIN
        self.telemetry = Telemetry(edges_s=(), build="", version="", region="", revision="")
        self.open()

    def open(self) -> None:
        self.store = EmbeddedStore(self.path, self.telemetry, lambda: self.now_us)
        self.feed = EmbeddedFeed(self.store)

    async def replace_file(self) -> None:
        await self.store.close()
        self.path.unlink()
        self.open()

    async def changes(self, cursor: str = "") -> list[Entry]:
        page = await self.feed.read(cursor, limit=100, wait_s=0)
        assert not page.lost
        return page.entries

    async def end(self) -> str:
        return (await self.feed.read("", limit=1000, wait_s=0)).cursor

    async def tick(self, times: int = 1) -> None:
        """Writes something that never expires: writers remove what has."""
        for _ in range(times):
            await self.store.put(Key("ns", "tick"), envelope(0), announce=False)

    def conflicts(self) -> float:
        page = self.telemetry.page().decode()
        return next(float(line.split()[1]) for line in page.splitlines() if line.startswith("kv_conflicts_total "))


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    pod = Pod(tmp_path)
    yield pod
    await pod.store.close()


async def test_the_feed_has_what_this_region_wrote_in_its_order(pod: Pod) -> None:
    await pod.store.put(B, envelope(2))
    await pod.store.update(A, becomes(envelope(3)))
    await pod.store.put(C, envelope(1, "there"), announce=False)

    assert await pod.changes() == [Entry(B, envelope(2)), Entry(A, envelope(3))]


async def test_the_feed_goes_on_after_its_cursor(pod: Pod) -> None:
    await pod.store.put(A, envelope(1))
    cursor = await pod.end()
    await pod.store.put(B, envelope(2))

    assert await pod.changes(cursor) == [Entry(B, envelope(2))]
    assert await pod.changes(await pod.end()) == []


async def test_a_record_written_again_has_one_entry_at_its_newest_place(pod: Pod) -> None:
    await pod.store.put(A, envelope(1))
    await pod.store.put(B, envelope(1))
    cursor = await pod.end()
    await pod.store.put(A, envelope(2))

    assert await pod.changes() == [Entry(B, envelope(1)), Entry(A, envelope(2))]
    assert await pod.changes(cursor) == [Entry(A, envelope(2))]


async def test_a_write_that_changes_nothing_has_no_entry(pod: Pod) -> None:
    await pod.store.put(A, envelope(2))
    cursor = await pod.end()
    await pod.store.put(A, envelope(2))
    await pod.store.put(A, envelope(1))
    await pod.store.update(A, becomes(None, b"receipt"), "token")
    await pod.store.claim(A, "other", b"receipt")

    assert await pod.changes(cursor) == []


async def test_a_peers_newer_write_takes_the_entry_away_and_cursors_hold(pod: Pod) -> None:
    await pod.store.put(A, envelope(1))
    await pod.store.put(B, envelope(1))
    cursor = await pod.end()
    await pod.store.put(B, envelope(2, "there"), announce=False)
    assert await pod.changes() == [Entry(A, envelope(1))]

    await pod.store.put(C, envelope(1))
    assert await pod.changes(cursor) == [Entry(C, envelope(1))]


async def test_an_idle_followers_cursor_passes_by_what_peers_bring(pod: Pod) -> None:
    """Else each look would go through all of it again."""
    cursor = await pod.end()
    await pod.store.put(A, envelope(1, "there"), announce=False)
    page = await pod.feed.read(cursor, limit=10, wait_s=0)

    assert not page.entries
    assert int(page.cursor) > int(cursor)


async def test_a_peers_older_write_leaves_the_entry(pod: Pod) -> None:
    await pod.store.put(A, envelope(2))
    await pod.store.put(A, envelope(1, "there"), announce=False)

    assert await pod.changes() == [Entry(A, envelope(2))]


async def test_our_write_over_a_peers_is_announced(pod: Pod) -> None:
    await pod.store.put(A, envelope(1, "there"), announce=False)
    await pod.store.put(A, envelope(2, seen=1))

    assert await pod.changes() == [Entry(A, envelope(2, seen=1))]


async def test_pages_are_bounded_in_number_and_follow_each_other(pod: Pod) -> None:
    for number in range(10):
        await pod.store.put(Key("ns", str(number)), envelope(number))
        await pod.store.put(Key("ns", f"peer {number}"), envelope(number, "there"), announce=False)
    cursor, seen = "", []
    while page := (await pod.feed.read(cursor, limit=3, wait_s=0)).entries:
        assert len(page) <= 3
        seen += [entry.key.id for entry in page]
        cursor = (await pod.feed.read(cursor, limit=3, wait_s=0)).cursor

    assert seen == [str(number) for number in range(10)]


async def test_pages_are_bounded_in_bytes_but_for_their_first_entry(pod: Pod) -> None:
    sizes = [2**20, 2**20, 2**20, 4 * 2**20, 1]
    for number, size in enumerate(sizes):
        await pod.store.put(Key("ns", str(number)), envelope(number) + bytes(size))
    cursor, pages = "", []
    while (page := await pod.feed.read(cursor, limit=100, wait_s=0)).entries:
        pages.append([entry.key.id for entry in page.entries])
        cursor = page.cursor

    assert pages == [["0", "1"], ["2"], ["3"], ["4"]]


async def test_a_reader_who_waits_gets_the_write_of_another_pod(pod: Pod, tmp_path: Path) -> None:
    waiting = asyncio.create_task(pod.feed.read("", limit=10, wait_s=30))
    other = Pod(tmp_path)
    await other.store.put(A, envelope(1))
    await other.store.close()

    assert (await waiting).entries == [Entry(A, envelope(1))]


async def test_what_a_peer_brings_does_not_end_the_waiting(pod: Pod) -> None:
    waiting = asyncio.create_task(pod.feed.read("", limit=10, wait_s=30))
    await pod.store.put(A, envelope(1, "there"), announce=False)
    await asyncio.sleep(0)
    await pod.store.put(B, envelope(2))

    assert (await waiting).entries == [Entry(B, envelope(2))]


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "\u0661", "9" * 19, "1-0"])
async def test_what_is_no_cursor_is_refused(pod: Pod, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="no cursor"):
        await pod.feed.read(cursor, limit=1, wait_s=0)


async def test_a_cursor_of_a_file_that_was_replaced_is_lost_and_all_of_the_new_one_follows(pod: Pod) -> None:
    await pod.store.put(A, envelope(1))
    cursor = await pod.end()
    pod.now_us += HOUR_US
    await pod.replace_file()
    await pod.store.put(B, envelope(2))
    page = await pod.feed.read(cursor, limit=10, wait_s=0)

    assert page.lost
    assert page.entries == [Entry(B, envelope(2))]
    assert await pod.changes(page.cursor) == []


async def test_a_cursor_beyond_the_end_is_lost_and_all_follows(pod: Pod) -> None:
    await pod.store.put(A, envelope(1))
    page = await pod.feed.read(str(int(await pod.end()) + 1), limit=10, wait_s=0)

    assert page.lost
    assert page.entries == [Entry(A, envelope(1))]


async def test_an_expired_record_is_forgotten_when_no_retry_can_come(pod: Pod) -> None:
    brief = envelope(1, expires_us=BEGIN + 1)
    await pod.store.put(A, brief)
    pod.now_us = BEGIN + EXPIRED_US
    await pod.tick()
    assert await pod.store.read(A) == brief

    pod.now_us += 2
    await pod.tick()
    assert await pod.store.read(A) is None


async def test_a_tombstone_is_kept_as_long_as_it_says(pod: Pod) -> None:
    deleted = envelope(1, expires_us=BEGIN + 10 * DAY_US, tombstone=True)
    await pod.store.put(A, deleted)
    pod.now_us = BEGIN + 10 * DAY_US
    await pod.tick()
    assert await pod.store.read(A) == deleted

    pod.now_us += EXPIRED_US + 1
    await pod.tick()
    assert await pod.store.read(A) is None


async def test_what_never_expires_is_never_forgotten(pod: Pod) -> None:
    await pod.store.put(A, envelope(1))
    pod.now_us += 3650 * DAY_US
    await pod.tick()

    assert await pod.store.read(A) == envelope(1)


async def test_a_transaction_forgets_a_few_rows_and_writers_keep_up(pod: Pod) -> None:
    for number in range(40):
        await pod.store.put(Key("ns", "many", f"{number:02}"), envelope(number, expires_us=BEGIN + 1))
    pod.now_us += EXPIRED_US + HOUR_US
    left: list[int] = []
    for _ in range(6):
        await pod.tick()
        page = await pod.store.scan("ns", "many", prefix="", after="", limit=100, max_bytes=10**6)
        left.append(len(page.rows))

    assert left == [31, 22, 13, 4, 0, 0]


async def test_a_receipt_holds_for_a_day(pod: Pod) -> None:
    assert await pod.store.claim(A, "token", b"first") == b"first"
    pod.now_us += DAY_US - 1
    assert await pod.store.claim(A, "token", b"second") == b"first"
    assert await receipt_of(pod.store, A, "token") == b"first"

    pod.now_us += 1
    assert await receipt_of(pod.store, A, "token") is None
    assert await pod.store.claim(A, "token", b"third") == b"third"


async def test_old_receipts_are_removed(pod: Pod) -> None:
    for number in range(30):
        await pod.store.claim(A, str(number), b"old")
    pod.now_us += DAY_US + 1
    await pod.tick(4)

    with closing(sqlite3.connect(pod.path)) as connection:
        assert connection.execute("SELECT count(*) FROM receipt").fetchone() == (0,)


async def test_a_follower_that_missed_a_forgotten_write_hears_of_it_once(pod: Pod) -> None:
    await pod.store.put(A, envelope(1))
    cursor = await pod.end()
    await pod.store.put(B, envelope(2, expires_us=BEGIN + 1))
    heard = await pod.end()
    await pod.store.put(C, envelope(3))
    pod.now_us += EXPIRED_US + HOUR_US
    await pod.tick()
    page = await pod.feed.read(cursor, limit=10, wait_s=0)

    assert page.lost
    assert page.entries == [Entry(C, envelope(3))]
    assert await pod.changes(page.cursor) == []
    assert await pod.changes(heard) == [Entry(C, envelope(3))]
    assert await pod.changes() == [Entry(A, envelope(1)), Entry(C, envelope(3))]


async def test_a_forgotten_write_of_a_peer_is_no_followers_loss(pod: Pod) -> None:
    await pod.store.put(A, envelope(1))
    cursor = await pod.end()
    await pod.store.put(B, envelope(2, "there", expires_us=BEGIN + 1), announce=False)
    pod.now_us += EXPIRED_US + HOUR_US
    await pod.tick()

    assert await pod.changes(cursor) == []


@pytest.mark.parametrize("ours", [1, 3])
async def test_a_concurrent_write_of_a_peer_is_a_conflict(
    pod: Pod, ours: int, caplog: pytest.LogCaptureFixture
) -> None:
    await pod.store.put(A, envelope(ours))
    with caplog.at_level(logging.WARNING):
        await pod.store.put(A, envelope(2, "there"), announce=False)

    assert pod.conflicts() == 1
    assert [record.getMessage() for record in caplog.records] == ["conflict"]


async def test_a_conflict_counts_even_if_the_relay_has_gone_meanwhile(pod: Pod) -> None:
    await pod.store.put(A, envelope(1))
    relayed = asyncio.create_task(pod.store.put(A, envelope(2, "there"), announce=False))
    await asyncio.sleep(0)
    relayed.cancel()
    await pod.tick()

    assert await pod.store.read(A) == envelope(2, "there")
    assert pod.conflicts() == 1


async def test_a_write_of_ours_that_had_not_heard_of_the_peers_is_a_conflict(pod: Pod) -> None:
    """It was decided on before the relay brought the peer's write."""
    await pod.store.put(A, envelope(2, "there"), announce=False)
    await pod.store.put(A, envelope(1))

    assert pod.conflicts() == 1


async def test_writes_that_follow_each_other_are_no_conflict(pod: Pod) -> None:
    await pod.store.put(A, envelope(1, "there"), announce=False)
    await pod.store.put(A, envelope(2, seen=1))
    await pod.store.put(A, envelope(3, seen=1))
    await pod.store.put(A, envelope(3, seen=1))
    await pod.store.put(A, envelope(1, "there"), announce=False)

    assert pod.conflicts() == 0

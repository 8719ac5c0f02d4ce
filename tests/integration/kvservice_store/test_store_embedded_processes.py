"""The embedded store in several processes at once, as the pods of a region use it, and under trouble."""

import asyncio
import itertools
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from store_contract import becomes, envelope

from kvservice.core.envelope import Envelope, encode
from kvservice.core.ports import Change, Decide, Key
from kvservice.errors import StartError, StoreBusy, StoreUnavailable
from kvservice.store import bounded, embedded_file
from kvservice.store.embedded import EmbeddedFeed, EmbeddedStore
from kvservice.telemetry import Telemetry

KEY = Key("ns", "id")
ONE, TWO = envelope(1, b"one"), envelope(2, b"two")

# One pod's store: WORK is a coroutine over it.
_PROCESS = """
import asyncio, json, sys
from pathlib import Path
from kvservice.core.clock import HybridClock, system_us
from kvservice.core.envelope import Envelope, decode, encode, version_of
from kvservice.core.ports import Change, Key
from kvservice.store.embedded import EmbeddedStore
from kvservice.telemetry import Telemetry

clock = HybridClock(system_us, 7)

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    store = EmbeddedStore(Path(sys.argv[1]), Telemetry(edges_s=(), build="", version="", region="", revision=""))
    await work(store)
    await store.close()

async def write(store, id, payload):
    made = []
    def decide(present, receipt):
        version = clock.issue(0 if present is None else version_of(present))
        made.append(version)
        there = None if present is None else decode(present).payload
        new = payload(there)
        return Change(None if new is None else encode(Envelope(version, "here", "", new)))
    await store.update(Key("ns", id), decide)
    return made[-1]
"""


def process(path: Path, work: str) -> subprocess.Popen[str]:
    """A process that waits for a line of input, then opens the store and does its work."""
    code = f"{_PROCESS}\nasync def work(store):\n{work}\n\nasyncio.run(main())"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=pipe, stdout=pipe, text=True)


def go(racer: subprocess.Popen[str]) -> None:
    assert racer.stdin
    racer.stdin.write("go\n")
    racer.stdin.flush()


def race(path: Path, count: int, work: str) -> list[list[int]]:
    """Runs `count` such processes at the same time -> what each printed last, as JSON."""
    racers = [process(path, work) for _ in range(count)]
    assert [racer.stdout.readline() for racer in racers if racer.stdout] == ["ready\n"] * count
    for racer in racers:
        go(racer)
    printed = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * count
    return [json.loads(each) for each in printed]


def telemetry() -> Telemetry:
    return Telemetry(edges_s=(), build="", version="", region="", revision="")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore(tmp_path / "store.db", telemetry())
    yield store
    await store.close()


def test_of_several_processes_that_create_a_record_one_wins(tmp_path: Path) -> None:
    work = """
        won = []
        for number in range(40):
            present = []
            await write(store, str(number), lambda there: present.append(there) or (b"" if there is None else None))
            won += [number] if present == [None] else []
        print(json.dumps(won))"""

    assert sorted(itertools.chain(*race(tmp_path / "store.db", 4, work))) == list(range(40))


def test_updates_in_several_processes_lose_no_step_and_share_no_version(tmp_path: Path) -> None:
    work = """
        versions = [await write(store, "count", lambda there: b"%d" % (int(there or b"0") + 1)) for _ in range(100)]
        print(json.dumps([*versions, int(decode(await store.read(Key("ns", "count"))).payload)]))"""
    printed = race(tmp_path / "store.db", 4, work)
    versions = [each[:-1] for each in printed]

    assert max(each[-1] for each in printed) == 400
    assert len({*itertools.chain(*versions)}) == 400
    assert all(each == sorted(each) for each in versions)


def test_acknowledged_writes_survive_the_kill_of_their_writer(tmp_path: Path) -> None:
    work = """
        for number in range(1_000_000):
            await write(store, str(number), lambda there: b"")
            print(number, flush=True)"""
    with process(tmp_path / "store.db", work) as writer:
        go(writer)
        assert writer.stdout
        acknowledged = list(itertools.islice(writer.stdout, 1, 500))
        writer.kill()
        acknowledged += [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]

    with sqlite3.connect(tmp_path / "store.db") as connection:
        present = {row[0] for row in connection.execute("SELECT id FROM record")}
    connection.close()
    assert len(acknowledged) >= 499
    assert {line.strip() for line in acknowledged} <= present


def test_many_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    for attempt in range(3):
        race(tmp_path / f"{attempt}.db", 6, "        print('[]')")


def test_the_feed_misses_no_write_of_several_processes(tmp_path: Path) -> None:
    """It is read while they write: an entry that came to light behind the cursor would be missed."""
    work = """
        me = str(id(store)) + str(clock.issue(0))
        names = [f"{me}/{number}" for number in range(150)]
        await asyncio.gather(*(write(store, name, lambda there: b"") for name in names))
        print(json.dumps(names))"""
    racers = [process(tmp_path / "store.db", work) for _ in range(3)]

    async def follow() -> set[str]:
        store = EmbeddedStore(tmp_path / "store.db", telemetry())
        feed, cursor, seen = EmbeddedFeed(store), "", set[str]()
        for racer in racers:
            go(racer)
        while len(seen) < 450:
            page = await feed.read(cursor, limit=7, wait_s=30)
            assert page.entries
            assert not page.lost
            assert not seen & {entry.key.id for entry in page.entries}
            seen |= {entry.key.id for entry in page.entries}
            cursor = page.cursor
        await store.close()
        return seen

    seen = asyncio.run(follow())
    printed = [json.loads(racer.communicate(timeout=60)[0].splitlines()[-1]) for racer in racers]
    assert seen == {*itertools.chain(*printed)}


async def test_writes_that_wait_for_each_other_are_done_in_order(store: EmbeddedStore) -> None:
    def append(number: int) -> Decide:
        return lambda present, _: Change((present or encode(Envelope(1, "", "", b""))) + bytes([number]))

    await asyncio.gather(*(store.update(KEY, append(number)) for number in range(200)))

    assert (await store.read(KEY) or b"").endswith(bytes(range(200)))


async def test_a_decision_that_fails_hurts_only_its_own_write(store: EmbeddedStore) -> None:
    def fail(_: bytes | None, __: bytes | None) -> Change:
        raise LookupError("mine")

    outcomes = await asyncio.gather(
        store.update(Key("ns", "a"), becomes(ONE)),
        store.update(Key("ns", "b"), fail),
        store.put(Key("ns", "\ud800"), ONE),
        store.update(Key("ns", "c"), becomes(TWO)),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), LookupError, UnicodeEncodeError, type(None)]
    assert [await store.read(Key("ns", name)) for name in "abc"] == [ONE, None, TWO]


async def test_a_write_whose_caller_has_gone_hurts_no_other(store: EmbeddedStore) -> None:
    gone = asyncio.create_task(store.put(KEY, ONE))
    stays = asyncio.create_task(store.put(Key("ns", "b"), TWO))
    await asyncio.sleep(0)
    gone.cancel()
    await stays

    assert await store.read(Key("ns", "b")) == TWO


async def test_reads_go_on_while_another_process_writes(store: EmbeddedStore, tmp_path: Path) -> None:
    await store.put(KEY, ONE)
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    assert await store.read(KEY) == ONE
    other.close()


async def test_a_lock_held_too_long_is_told_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_file, "BUSY_MS", 10)
    store = EmbeddedStore(tmp_path / "store.db", telemetry())
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for write in (store.put(KEY, ONE), store.update(KEY, becomes(ONE)), store.claim(KEY, "token", b"receipt")):
        with pytest.raises(StoreUnavailable, match="locked"):
            await write
    other.execute("ROLLBACK")
    other.close()

    assert await store.read(KEY) is None
    await store.put(KEY, TWO)
    await store.close()


async def test_operations_beyond_the_bound_are_refused(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "IN_FLIGHT", 3)
    outcomes = await asyncio.gather(*(store.put(KEY, ONE) for _ in range(5)), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes].count(StoreBusy) == 2
    await store.ping()


@pytest.mark.parametrize("name", ["missing/store.db", "text.db", "folder"])
def test_a_file_that_cannot_be_a_store_is_refused_at_start(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.db").write_text("no database " * 100)
    (tmp_path / "folder").mkdir()

    with pytest.raises(StartError, match=f"KV_STORE_PATH={tmp_path / name}: "):
        EmbeddedStore(tmp_path / name, telemetry())


class Foreign(NamedTuple):
    what: str
    statements: str
    layout: int


@pytest.mark.parametrize(
    "foreign",
    [
        Foreign("the previous layout", "CREATE TABLE record (namespace TEXT, id TEXT, envelope BLOB)", 0),
        Foreign("another program's", "CREATE TABLE history (url TEXT)", 0),
        Foreign("a later layout", "PRAGMA user_version = 99", 99),
    ],
    ids=lambda foreign: foreign.what,
)
def test_a_file_of_another_layout_is_refused_and_left_as_it_is(tmp_path: Path, foreign: Foreign) -> None:
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as connection:
        connection.execute(foreign.statements)
    connection.close()
    before = path.read_bytes()

    with pytest.raises(StartError, match=f"{path}: this file has layout {foreign.layout}.*move it away"):
        EmbeddedStore(path, telemetry())
    assert path.read_bytes() == before

"""The embedded store in several processes at once, as the pods of a region use it."""

import asyncio
import itertools
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kvservice.core.ports import Key
from kvservice.errors import StartError, StoreBusy, StoreUnavailable
from kvservice.store import embedded
from kvservice.store.embedded import EmbeddedStore
from kvservice.telemetry import Telemetry

KEY = Key("ns", "id")

# One pod's worth of the service, without HTTP: WORK is a coroutine over `records`.
_PROCESS = """
import asyncio, json, sys
from pathlib import Path
from kvservice.cache.none import NoCache
from kvservice.core.clock import HybridClock, system_us
from kvservice.core.conditions import Conditions, etag
from kvservice.core.records import Records
from kvservice.core.suspects import Suspects
from kvservice.errors import PreconditionFailed
from kvservice.store.embedded import EmbeddedStore
from kvservice.telemetry import Telemetry

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    store = EmbeddedStore(Path(sys.argv[1]), Telemetry(edges_s=(), build="", version="", region="", revision=""))
    cache, clock = NoCache(), HybridClock(system_us, 7)
    suspects = Suspects(store, cache, lambda: None)
    records = Records(store=store, cache=cache, clock=clock, suspects=suspects, region="here")
    await work(records)
    await store.close()

async def write(records, id, payload, **conditions):
    return (await records.write("ns", id, payload, "", Conditions(**conditions))).version
"""


def process(path: Path, work: str) -> subprocess.Popen[str]:
    """A process that waits for a line of input, then opens the store and does its work."""
    code = f"{_PROCESS}\nasync def work(records):\n{work}\n\nasyncio.run(main())"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=pipe, stdout=pipe, text=True)


def race(path: Path, count: int, work: str) -> list[list[int]]:
    """Runs `count` such processes at the same time -> what each printed last, as JSON."""
    racers = [process(path, work) for _ in range(count)]
    assert [racer.stdout.readline() for racer in racers if racer.stdout] == ["ready\n"] * count
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    printed = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * count
    return [json.loads(each) for each in printed]


def telemetry() -> Telemetry:
    return Telemetry(edges_s=(), build="", version="", region="", revision="")


def put(envelope: bytes) -> Callable[[bytes | None], bytes]:
    return lambda _: envelope


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore(tmp_path / "store.db", telemetry())
    yield store
    await store.close()


def test_of_several_processes_that_create_a_record_one_wins(tmp_path: Path) -> None:
    work = """
        won = []
        for number in range(40):
            try:
                await write(records, str(number), b"", if_none_match="*")
                won.append(number)
            except PreconditionFailed:
                pass
        print(json.dumps(won))"""

    assert sorted(itertools.chain(*race(tmp_path / "store.db", 4, work))) == list(range(40))


def test_compare_and_set_in_several_processes_loses_no_step(tmp_path: Path) -> None:
    work = """
        versions = []
        while len(versions) < 25:
            present = await records.read("ns", "count")
            condition = {"if_match": etag(present.version)} if present else {"if_none_match": "*"}
            try:
                count = int(present.payload) + 1 if present else 1
                versions.append(await write(records, "count", b"%d" % count, **condition))
            except PreconditionFailed:
                pass
        final = await records.read("ns", "count")
        print(json.dumps([*versions, int(final.payload)]))"""
    printed = race(tmp_path / "store.db", 4, work)
    versions = [each[:-1] for each in printed]

    assert max(each[-1] for each in printed) == 100
    assert len({*itertools.chain(*versions)}) == 100
    assert all(each == sorted(each) for each in versions)


def test_plain_writes_in_several_processes_never_share_a_version(tmp_path: Path) -> None:
    work = """
        print(json.dumps([await write(records, "one", b"") for _ in range(100)]))"""

    assert len({*itertools.chain(*race(tmp_path / "store.db", 4, work))}) == 400


def test_acknowledged_writes_survive_the_kill_of_their_writer(tmp_path: Path) -> None:
    work = """
        for number in range(1_000_000):
            await write(records, str(number), b"%d" % number)
            print(number, flush=True)"""
    with process(tmp_path / "store.db", work) as writer:
        assert writer.stdin
        assert writer.stdout
        writer.stdin.write("go\n")
        writer.stdin.flush()
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


async def test_writes_that_wait_for_each_other_are_done_in_order(store: EmbeddedStore) -> None:
    def append(number: int) -> Callable[[bytes | None], bytes]:
        return lambda present: (present or b"") + bytes([number])

    await asyncio.gather(*(store.update(KEY, append(number)) for number in range(200)))

    assert await store.read(KEY) == bytes(range(200))


async def test_a_decision_that_fails_hurts_only_its_own_write(store: EmbeddedStore) -> None:
    def fail(_: bytes | None) -> bytes:
        raise LookupError("mine")

    outcomes = await asyncio.gather(
        store.update(Key("ns", "a"), put(b"a")),
        store.update(Key("ns", "b"), fail),
        store.update(Key("ns", "c"), put(b"c")),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), LookupError, type(None)]
    assert [await store.read(Key("ns", name)) for name in "abc"] == [b"a", None, b"c"]


async def test_a_decision_to_leave_it_leaves_it(store: EmbeddedStore) -> None:
    await store.update(KEY, put(b"one"))
    await store.update(KEY, lambda _: None)

    assert await store.read(KEY) == b"one"


async def test_a_write_whose_caller_has_gone_hurts_no_other(store: EmbeddedStore) -> None:
    gone = asyncio.create_task(store.update(KEY, put(b"one")))
    stays = asyncio.create_task(store.update(Key("ns", "b"), put(b"two")))
    await asyncio.sleep(0)
    gone.cancel()
    await stays

    assert await store.read(Key("ns", "b")) == b"two"


async def test_reads_go_on_while_another_process_writes(store: EmbeddedStore, tmp_path: Path) -> None:
    await store.update(KEY, put(b"one"))
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    assert await store.read(KEY) == b"one"
    other.close()


async def test_a_lock_held_too_long_is_told_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "BUSY_MS", 10)
    store = EmbeddedStore(tmp_path / "store.db", telemetry())
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.update(KEY, put(b"one"))
    other.execute("ROLLBACK")
    other.close()

    assert await store.read(KEY) is None
    await store.update(KEY, put(b"two"))
    await store.close()


async def test_operations_beyond_the_bound_are_refused(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "IN_FLIGHT", 3)
    outcomes = await asyncio.gather(*(store.update(KEY, put(b"one")) for _ in range(5)), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes].count(StoreBusy) == 2
    await store.ping()


@pytest.mark.parametrize("name", ["missing/store.db", "text.db", "folder"])
def test_a_file_that_cannot_be_a_store_is_refused_at_start(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.db").write_text("no database " * 100)
    (tmp_path / "folder").mkdir()

    with pytest.raises(StartError, match=f"KV_STORE_PATH={tmp_path / name}: "):
        EmbeddedStore(tmp_path / name, telemetry())

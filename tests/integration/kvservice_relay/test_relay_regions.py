"""Regions with a store and a real Valkey each, whose relays follow each other over HTTP: cut, healed, converged."""

import asyncio
import itertools
import logging
import random
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kvparts import Valkey, free_address, valkeys

from kvservice.cache import shard
from kvservice.cache.redis import RedisCache
from kvservice.core.changes import to_json
from kvservice.core.clock import HybridClock, system_us
from kvservice.core.conflicts import seen_over
from kvservice.core.envelope import Envelope, decode, encode
from kvservice.core.ports import Key
from kvservice.errors import CacheUnavailable
from kvservice.relay.peer_feed import PeerFeed
from kvservice.relay.relay import Relay
from kvservice.store.embedded import EmbeddedFeed, EmbeddedStore
from kvservice.telemetry import Telemetry

pytestmark = pytest.mark.real
TLS = ssl.create_default_context()
TOKEN = "only-relays"
DAY_US = 86_400_000_000


class Region:
    """`start_serving`, `stop_serving`: its side of the link to the others."""

    def __init__(self, name: str, folder: Path, valkey: Valkey) -> None:
        self.name = name
        self.valkey = valkey
        self.telemetry = Telemetry(edges_s=(), build="", version="", region="", revision="")
        self.store = EmbeddedStore(folder / f"{name}.db", self.telemetry)
        self.cache = RedisCache(
            [valkey.url],
            ttl_s=600,
            stale_s=600,
            feed_bytes=0,
            telemetry=self.telemetry,
            now_us=system_us,
            random=random.random,
        )
        self.clock = HybridClock(system_us, 0)
        self.address = free_address()
        self.acknowledged: list[tuple[Key, bytes]] = []
        self._runner: web.AppRunner | None = None

    async def write(self, key: Key, payload: bytes | None) -> bytes:
        """As a pod does in a namespace of plain writes; None deletes."""
        stored = await self.store.read(key)
        present = None if stored is None else decode(stored)
        version = self.clock.issue(0 if present is None else present.version)
        gone = {"expires_us": system_us() + 10 * DAY_US, "tombstone": True} if payload is None else {}
        new = encode(Envelope(version, self.name, "", payload or b"", seen=seen_over(present, self.name), **gone))  # type: ignore[arg-type]
        await self.store.put(key, new)
        self.acknowledged.append((key, new))
        with suppress(CacheUnavailable):  # a pod would try again
            await self.cache.offer(key, new, announce=True)
        return new

    async def start_serving(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/changes", self._changes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.address, 8080).start()

    async def stop_serving(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    def conflicts(self) -> int:
        page = self.telemetry.page().decode()
        return next(int(float(line.split()[1])) for line in page.splitlines() if line.startswith("kv_conflicts_total "))

    async def close(self) -> None:
        await self.stop_serving()
        await self.cache.close()
        await self.store.close()

    async def _changes(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        asked = request.query
        page = await EmbeddedFeed(self.store).read(
            asked["after"], limit=int(asked["limit"]), wait_s=int(asked["waitMs"]) / 1000
        )
        changes = [to_json(entry) for entry in page.entries]
        return web.json_response({"changes": changes, "next": page.cursor, "lost": page.lost})


def relay(here: Region, peer: Region, feed: PeerFeed) -> Relay:
    return Relay(
        here=here.name,
        peer=peer.name,
        feed=feed,
        store=here.store,
        cache=here.cache,
        clock=here.clock,
        telemetry=here.telemetry,
    )


@asynccontextmanager
async def relays(regions: Sequence[Region]) -> AsyncIterator[None]:
    """Each region follows each other one."""
    async with AsyncExitStack() as stack:
        running = []
        for here, peer in itertools.permutations(regions, 2):
            feed = PeerFeed(f"http://{peer.address}:8080", TOKEN, TLS)
            stack.push_async_callback(feed.close)
            running.append(asyncio.create_task(relay(here, peer, feed).run()))
        try:
            yield
        finally:
            assert not [task for task in running if task.done()]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def world(folder: Path, names: Sequence[str]) -> AsyncIterator[list[Region]]:
    async with AsyncExitStack() as stack:
        regions = [Region(name, folder, stack.enter_context(valkeys(folder))) for name in names]
        for region in regions:
            stack.push_async_callback(region.close)
            await region.start_serving()
        yield regions


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    give_up_s = asyncio.get_running_loop().time() + 30
    while asyncio.get_running_loop().time() < give_up_s:
        if await holds():
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"{what}: not so after 30 s")


def winners(regions: Sequence[Region]) -> dict[Key, bytes]:
    """Of all that was acknowledged anywhere, the newest of each record."""
    newest: dict[Key, bytes] = {}
    for key, envelope in itertools.chain(*(region.acknowledged for region in regions)):
        newest[key] = max(envelope, newest.get(key, b""))  # the rule of versions
    return newest


async def have_converged(regions: Sequence[Region]) -> bool:
    for key, envelope in winners(regions).items():
        for region in regions:
            copy = await region.cache.get(key)
            if await region.store.read(key) != envelope or copy is None or copy.envelope != envelope:
                return False
    return True


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def in_conflict(caplog: pytest.LogCaptureFixture) -> list[Key]:
    lines = [record.__dict__ for record in caplog.records if record.getMessage() == "conflict"]
    return [Key(line["namespace"], line["id"], line["item"]) for line in lines]


async def all_in_conflict(keys: set[Key], caplog: pytest.LogCaptureFixture) -> bool:
    return keys <= set(in_conflict(caplog))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine is no cache that fails."""
    monkeypatch.setattr(shard, "TIMEOUT_S", 10.0)


@pytest.fixture(autouse=True)
def our_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kvservice")


async def cut_and_heal(regions: Sequence[Region], round_: int, chance: random.Random) -> set[Key]:
    """-> the records that more than one region wrote while they were cut off from each other."""
    for region in regions:
        await region.stop_serving()
    before = [len(region.acknowledged) for region in regions]
    for region in regions:
        for number in chance.sample(range(40), 15):
            for _ in range(chance.randrange(1, 4)):
                payload = None if chance.random() < 0.2 else chance.randbytes(50)
                await region.write(Key("ns", f"{number}", "item" if number % 3 else ""), payload)
        await region.write(Key("ns", f"only {region.name} {round_}"), b"mine")
    wrote = [{key for key, _ in region.acknowledged[begin:]} for region, begin in zip(regions, before, strict=True)]
    for region in regions:
        await region.start_serving()
    await until(lambda: have_converged(regions), "every region has every winner in store and cache")
    return {key for key in set().union(*wrote) if sum(key in each for each in wrote) > 1}


@pytest.mark.counted
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("names", [("eu", "us"), ("eu", "us", "ap")], ids=len)
async def test_regions_that_were_cut_have_the_same_winners_and_every_conflict_is_counted(
    tmp_path: Path, names: tuple[str, ...], caplog: pytest.LogCaptureFixture, counted: Any
) -> None:
    chance = random.Random(4)
    rounds = counted(short=2, full=25)
    met = 0
    async with world(tmp_path, names) as regions:
        for round_ in counted.told(range(rounds), "cuts"):
            caplog.clear()
            counts = sum(region.conflicts() for region in regions)
            async with relays(regions):  # a new process each time: it goes on where the last one was
                concurrent = await cut_and_heal(regions, round_, chance)
                assert concurrent
                await until(partial(all_in_conflict, concurrent, caplog), "every conflict is logged")
            assert set(in_conflict(caplog)) == concurrent
            assert sum(region.conflicts() for region in regions) - counts == len(in_conflict(caplog))
            met += len(concurrent)
        writes = sum(len(region.acknowledged) for region in regions)
    counted.tell(f"{len(names)} regions, {rounds} cuts, {writes} writes: {met} records in conflict, each logged")


@pytest.mark.usefixtures("patient")
async def test_writes_that_follow_each_other_through_regions_are_no_conflict(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path, ("eu", "us")) as regions, relays(regions):
        for number in range(12):
            await regions[number % 2].write(Key("ns", "turns"), b"%d" % number if number % 5 else None)
            await until(lambda: have_converged(regions), "the write is everywhere")

        assert [region.conflicts() for region in regions] == [0, 0]
        assert set(events(caplog)) == {"relay_started"}


@pytest.mark.usefixtures("patient")
async def test_a_region_is_reached_while_writers_write_on(tmp_path: Path) -> None:
    async with world(tmp_path, ("eu", "us")) as (eu, us), relays((eu, us)):
        names = [Key("ns", str(number)) for number in range(600)]  # more than a page
        await asyncio.gather(
            *(eu.write(key, b"eu") for key in names[:300]), *(us.write(key, b"us") for key in names[300:])
        )
        await until(lambda: have_converged((eu, us)), "all writes are everywhere")


async def test_a_cache_that_hangs_keeps_nothing_from_the_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path, ("eu", "us")) as (eu, us), relays((eu, us)):
        us.valkey.process.send_signal(signal.SIGSTOP)
        keys = [Key("ns", str(number)) for number in range(20)]
        during = [await eu.write(key, b"during") for key in keys]

        async def stored() -> bool:
            is_there = [await us.store.read(key) for key in keys] == during
            return is_there and "relay_cache_away" in events(caplog)

        await until(stored, "the store has what the cache could not be told")
        us.valkey.process.send_signal(signal.SIGCONT)

        async def told() -> bool:
            await eu.write(Key("ns", "after"), b"after")
            return "relay_cache_back" in events(caplog)

        await until(told, "the cache is told again")

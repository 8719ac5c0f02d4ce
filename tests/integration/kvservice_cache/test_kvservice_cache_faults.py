"""Filling over real shards that die, hang or forget: right answers, and a read pays for one cache timeout at most."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from time import perf_counter
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from kvcaching import KEY, FillingPod, MemoryStore, envelope

from kvservice.cache.redis import RedisCache
from kvservice.core.ports import Copy, Key
from kvservice.errors import CacheUnavailable

pytestmark = pytest.mark.real
STORE_S = 0.005
DELAY_S = 0.5
ONE, TWO = envelope(256, b"one"), envelope(512, b"two")
T = TypeVar("T")


def store(*keys: Key) -> MemoryStore:
    return MemoryStore(pause=lambda: asyncio.sleep(STORE_S / 2), envelopes=dict.fromkeys(keys or (KEY,), ONE))


class Watched:
    """A cache that notes what failed, by key."""

    def __init__(self, cache: RedisCache) -> None:
        self._cache = cache
        self.failures: Counter[Key] = Counter()
        self.left_alone = 0

    async def get(self, key: Key) -> Copy | None:
        return await self._noted(key, self._cache.get(key))

    async def lease(self, key: Key) -> bool:
        return await self._noted(key, self._cache.lease(key))

    async def offer(self, key: Key, envelope: bytes, *, cost_s: float = 0.0, announce: bool = False) -> None:
        await self._noted(key, self._cache.offer(key, envelope, cost_s=cost_s, announce=announce))

    async def now_us(self) -> int | None:
        return await self._cache.now_us()

    async def _noted(self, key: Key, operation: Awaitable[T]) -> T:
        try:
            return await operation
        except CacheUnavailable as error:
            self.failures[key] += 1
            self.left_alone += "left alone" in str(error)
            raise


@asynccontextmanager
async def slowed(url: str) -> AsyncIterator[str]:
    """-> the address of a proxy whose answers come DELAY_S late."""
    to = urlsplit(url)
    pumps: list[asyncio.Task[None]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
        try:
            with suppress(ConnectionError):
                while data := await reader.read(65_536):
                    await asyncio.sleep(delay_s)
                    writer.write(data)
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(to.hostname, to.port)
        pumps.append(asyncio.create_task(pump(reader, there_writer, 0)))
        pumps.append(asyncio.create_task(pump(there_reader, writer, DELAY_S)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for each in pumps:
        each.cancel()
    await asyncio.gather(*pumps, return_exceptions=True)


async def durations_s(pod: FillingPod, keys: list[Key]) -> list[float]:
    """Of one read of each key, 20 at once, sorted. All must be answered right."""
    turns = asyncio.Semaphore(20)

    async def read(key: Key) -> float:
        async with turns:
            began_s = perf_counter()
            assert await pod.value(key) == b"one"
            return perf_counter() - began_s

    return sorted(await asyncio.gather(*(read(key) for key in keys)))


@pytest.mark.counted
@pytest.mark.parametrize("fault", ["killed", "hanging", "slow"])
async def test_a_shard_in_trouble_costs_a_read_one_timeout_at_most(
    fault: str, open_cache: Any, valkey: Any, counted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvservice.cache.shard.TIMEOUT_S", 0.05)
    rounds = counted(short=600, full=6_000)
    names = {kind: [Key(kind, str(number)) for number in range(rounds)] for kind in ("well", "ill")}
    store_ = store(*names["well"], *names["ill"])
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(slowed(valkey.url)) if fault == "slow" else valkey.url
        well = await durations_s(FillingPod(store_, open_cache(valkey.url)), names["well"])
        if fault != "slow":
            valkey.process.send_signal(signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
        watched = Watched(open_cache(url))
        ill = await durations_s(FillingPod(store_, watched), names["ill"])
    at = int(rounds * 0.95)
    counted.tell(
        f"shard {fault}: {rounds} reads answered right, p95 {well[at] * 1e3:.0f} -> {ill[at] * 1e3:.0f} ms, "
        f"{watched.left_alone} did not try it; most failures of a read: {max(watched.failures.values())}"
    )

    assert set(watched.failures.values()) == {1}
    assert watched.left_alone > 0


async def test_callers_who_wait_their_turn_do_not_wait_for_a_hanging_shard_again(
    open_cache: Any, valkey: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = open_cache(valkey.url)
    await cache.get(KEY)
    monkeypatch.setattr("kvservice.cache.shard.TIMEOUT_S", 0.05)
    valkey.process.send_signal(signal.SIGSTOP)
    failures = await asyncio.gather(*(cache.get(KEY) for _ in range(200)), return_exceptions=True)

    tried = [failure for failure in failures if "TimeoutError" in str(failure)]
    assert all(isinstance(failure, CacheUnavailable) for failure in failures)
    assert len(tried) <= 32


@pytest.mark.counted
async def test_a_thousand_misses_of_three_pods_are_one_read_of_the_store(
    open_cache: Any, valkey: Any, counted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvservice.cache.redis.LEASE_MS", 60_000)  # a machine that stalls is no holder that died
    monkeypatch.setattr("kvservice.core.filling.WAIT_S", 60)
    rounds = counted(short=3, full=20)
    store_ = store(*(Key("ns", str(number)) for number in range(rounds)))
    pods = [FillingPod(store_, open_cache(valkey.url)) for _ in range(3)]
    for number in counted.told(range(rounds), "herds"):
        answers = await asyncio.gather(*(pods[each % 3].value(Key("ns", str(number))) for each in range(1_000)))

        assert set(answers) == {b"one"}
    counted.tell(f"{rounds} herds of 1,000 misses on a key, 3 pods: {store_.reads} store reads")

    assert store_.reads == rounds


async def test_when_the_leases_holder_dies_another_pod_goes_on(open_cache: Any, valkey: Any) -> None:
    store_ = store()
    dying, other = (FillingPod(store_, open_cache(valkey.url)) for _ in range(2))
    looked = asyncio.Event()
    store_.pause = lambda: _never(looked)
    first = asyncio.create_task(dying.read())
    await looked.wait()
    second = asyncio.create_task(other.read())
    await dying.filling.close()
    store_.pause = lambda: asyncio.sleep(0)

    assert (await second).envelope == ONE
    assert store_.reads == 2
    await asyncio.wait([first])


async def _never(begun: asyncio.Event) -> None:
    begun.set()
    await asyncio.Event().wait()


async def test_a_lost_shard_is_a_miss_and_a_flushed_one_is_filled_again(shards: list[Any], open_cache: Any) -> None:
    keys = [Key("ns", str(number)) for number in range(60)]
    store_ = store(*keys)
    pod = FillingPod(store_, open_cache(*(shard.url for shard in shards)))
    shards[0].process.kill()
    shards[0].process.wait()
    lost = [await pod.value(key) for key in keys]
    shards[1].client.flushall()
    flushed = [await pod.value(key) for key in keys]
    reads = store_.reads
    filled = [await pod.value(key) for key in keys if await _is_kept(pod, key)]

    assert {*lost, *flushed, *filled} == {b"one"}
    assert 20 < len(filled) < 60
    assert store_.reads == reads


async def _is_kept(pod: FillingPod, key: Key) -> bool:
    with suppress(CacheUnavailable):
        return await pod.cache.get(key) is not None
    return False


async def test_a_write_is_seen_by_all_pods_at_once_where_there_was_nothing(open_cache: Any, valkey: Any) -> None:
    store_ = MemoryStore()
    here, there = (FillingPod(store_, open_cache(valkey.url)) for _ in range(2))
    before = [(await pod.read()).envelope for pod in (here, there)]
    await store_.put(KEY, ONE)
    await here.suspects.publish(KEY, ONE)
    reads = store_.reads

    assert await there.value() == b"one"
    assert store_.reads == reads == 1
    assert before[0] == before[1] != ONE


async def test_a_pod_that_could_not_tell_the_cache_reads_the_store_until_it_has(
    open_cache: Any, valkey: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvservice.core.suspects.PAUSE_S", 0.01)
    store_ = store()
    here, there = (FillingPod(store_, open_cache(valkey.url)) for _ in range(2))
    await there.read()
    monkeypatch.setattr("kvservice.cache.shard.TIMEOUT_S", 0.05)
    valkey.process.send_signal(signal.SIGSTOP)
    await store_.put(KEY, TWO)
    was_told = await here.suspects.publish(KEY, TWO)
    meanwhile = await here.value()
    valkey.process.send_signal(signal.SIGCONT)
    monkeypatch.setattr("kvservice.cache.shard.TIMEOUT_S", 10)
    mending = asyncio.create_task(here.suspects.mend())
    await _until(lambda: KEY not in here.suspects)
    mending.cancel()

    assert (was_told, meanwhile) == (False, b"two")
    assert await there.value() == b"two"


async def test_while_the_store_fails_a_stale_copy_is_answered_and_says_so(open_cache: Any, valkey: Any) -> None:
    store_ = store()
    pod = FillingPod(store_, open_cache(valkey.url, ttl_s=0.2))
    await pod.read()
    store_.is_away = True
    fetched = await pod.read()
    for _ in range(1_000):
        if fetched.stale_s is not None:
            break
        await asyncio.sleep(0.01)
        fetched = await pod.read()

    assert fetched.envelope == ONE
    assert fetched.stale_s is not None
    assert fetched.age_s is not None
    assert 0 < fetched.stale_s < fetched.age_s


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    pytest.fail("not so after 10 s")

"""Keys that the cache could not be told about, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from kvcaching import KEY, FillingPod, MemoryCache, MemoryStore, envelope, in_virtual_time, now_s

from kvservice.core.ports import Key
from kvservice.core.suspects import LIMIT, PAUSE_S
from kvservice.errors import CacheUnavailable

ONE, TWO = envelope(256, b"one"), envelope(512, b"two")


class Region:
    def __init__(self) -> None:
        self.store, self.cache = MemoryStore(), MemoryCache()
        self.pod = FillingPod(self.store, self.cache, now_s)
        self.suspects = self.pod.suspects

    async def write(self, envelope: bytes, key: Key = KEY) -> None:
        await self.store.put(key, envelope)
        await self.suspects.publish(key, envelope)

    @asynccontextmanager
    async def mending(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.suspects.mend())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def region() -> Region:
    return Region()


@in_virtual_time
async def test_what_is_published_is_in_the_cache_and_announced(region: Region) -> None:
    await region.write(ONE)

    assert region.cache.kept[KEY].envelope == ONE
    assert region.cache.announced == [(KEY, ONE)]
    assert KEY not in region.suspects


@in_virtual_time
async def test_a_key_the_cache_was_not_told_about_is_read_from_the_store(region: Region) -> None:
    await region.write(ONE)
    region.cache.fails = {"offer"}
    await region.write(TWO)
    region.cache.fails = set()

    assert await region.pod.value() == b"two"


@in_virtual_time
async def test_the_cache_is_told_and_the_write_announced_when_it_is_back(region: Region) -> None:
    await region.write(ONE)
    region.cache.fails = {"get", "offer"}
    await region.write(TWO)
    async with region.mending():
        await asyncio.sleep(10 * PAUSE_S)
        was_suspect, reads = KEY in region.suspects, region.store.reads
        region.cache.fails = set()
        await asyncio.sleep(PAUSE_S * 2)

    assert (was_suspect, KEY in region.suspects) == (True, False)
    assert region.cache.announced == [(KEY, ONE), (KEY, TWO)]
    assert reads == 0, "while the cache is away, the store is not asked"


@in_virtual_time
async def test_somebody_elses_newer_write_is_put_in_and_not_announced(region: Region) -> None:
    region.cache.fails = {"offer"}
    await region.write(ONE)
    region.cache.fails = set()
    region.store.envelopes[KEY] = TWO
    async with region.mending():
        await asyncio.sleep(PAUSE_S * 2)

    assert region.cache.kept[KEY].envelope == TWO
    assert region.cache.announced == []


@in_virtual_time
async def test_a_shard_that_is_away_does_not_keep_the_keys_of_others_suspect(region: Region) -> None:
    lost = Key("ns", "lost")
    offer = region.cache.offer

    async def only_others(key: Key, envelope: bytes, *, cost_s: float = 0.0, announce: bool = False) -> None:
        if key == lost:
            raise CacheUnavailable("its shard is away")
        await offer(key, envelope, cost_s=cost_s, announce=announce)

    region.cache.offer = only_others  # type: ignore[method-assign]
    await region.write(ONE, lost)
    region.cache.fails = {"offer"}
    await region.write(ONE)
    region.cache.fails = set()
    async with region.mending():
        await asyncio.sleep(PAUSE_S * 3)

    assert (lost in region.suspects, KEY in region.suspects) == (True, False)


@in_virtual_time
async def test_a_store_that_is_away_is_waited_for(region: Region) -> None:
    region.cache.fails = {"offer"}
    await region.write(ONE)
    region.cache.fails = set()
    region.store.is_away = True
    async with region.mending():
        await asyncio.sleep(PAUSE_S * 3)
        was_suspect = KEY in region.suspects
        region.store.is_away = False
        await asyncio.sleep(PAUSE_S * 2)

    assert (was_suspect, KEY in region.suspects) == (True, False)


@in_virtual_time
async def test_an_older_copy_getting_through_does_not_clear_a_suspect_key(region: Region) -> None:
    region.cache.fails = {"offer"}
    await region.write(TWO)
    region.cache.fails = set()
    await region.suspects.publish(KEY, ONE)

    assert KEY in region.suspects


@in_virtual_time
async def test_a_store_that_was_emptied_by_hand_ends_the_suspicion(region: Region) -> None:
    region.cache.fails = {"offer"}
    await region.write(ONE)
    region.cache.fails = set()
    region.store.envelopes.clear()
    async with region.mending():
        await asyncio.sleep(PAUSE_S)

    assert len(region.suspects) == 0


@in_virtual_time
async def test_suspect_keys_are_bounded_and_the_oldest_is_given_up(region: Region) -> None:
    region.cache.fails, region.cache.timeout_s = {"offer"}, 0
    for number in range(LIMIT + 1):
        await region.suspects.publish(Key("ns", str(number)), ONE)

    assert len(region.suspects) == LIMIT
    assert Key("ns", "0") not in region.suspects
    assert region.pod.given_up == 1

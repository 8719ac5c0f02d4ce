"""The use cases over a store and a cache in memory."""

import asyncio
from collections.abc import Callable

import pytest

from kvservice.core.clock import HybridClock
from kvservice.core.conditions import Conditions
from kvservice.core.envelope import Envelope, decode, encode
from kvservice.core.ports import Key
from kvservice.core.records import Records
from kvservice.core.suspects import LIMIT, Suspects
from kvservice.errors import CacheUnavailable, ClockSkew, PreconditionFailed

NOW_US = 1_764_000_000_000_000
KEY = Key("ns", "id")
ANY = Conditions()


class MemoryStore:
    def __init__(self) -> None:
        self.envelopes: dict[Key, bytes] = {}
        self.reads = 0

    async def read(self, key: Key) -> bytes | None:
        self.reads += 1
        return self.envelopes.get(key)

    async def update(self, key: Key, decide: Callable[[bytes | None], bytes | None]) -> None:
        if (envelope := decide(self.envelopes.get(key))) is not None:
            self.envelopes[key] = envelope

    async def ping(self) -> None: ...


class MemoryCache:
    def __init__(self) -> None:
        self.envelopes: dict[Key, bytes] = {}
        self.is_away = False
        self.told = asyncio.Event()

    async def get(self, key: Key) -> bytes | None:
        self._meet()
        return self.envelopes.get(key)

    async def offer(self, key: Key, envelope: bytes) -> None:
        self._meet()
        self.envelopes[key] = max(self.envelopes.get(key, b""), envelope, key=lambda each: each[:8])
        self.told.set()

    def _meet(self) -> None:
        if self.is_away:
            raise CacheUnavailable("away")


class Region:
    """Records with all that is behind them."""

    def __init__(self) -> None:
        self.now_us = NOW_US
        self.store, self.cache = MemoryStore(), MemoryCache()
        self.given_up: list[None] = []
        self.suspects = Suspects(self.store, self.cache, lambda: self.given_up.append(None))
        clock = HybridClock(lambda: self.now_us, 7)
        self.records = Records(store=self.store, cache=self.cache, clock=clock, suspects=self.suspects, region="here")

    async def write(self, payload: bytes, conditions: Conditions = ANY) -> int:
        return (await self.records.write(*KEY, payload, "text/plain", conditions)).version

    async def value(self) -> bytes | None:
        record = await self.records.read(*KEY)
        return None if record is None else record.payload


@pytest.fixture
def region() -> Region:
    return Region()


async def test_what_was_written_is_read_with_its_metadata(region: Region) -> None:
    version = await region.write(b"one")

    assert await region.records.read(*KEY) == Envelope(version, "here", "text/plain", b"one")


async def test_a_read_after_a_write_comes_from_the_cache(region: Region) -> None:
    await region.write(b"one")
    await region.value()

    assert region.store.reads == 0


async def test_a_miss_is_read_from_the_store_and_put_into_the_cache(region: Region) -> None:
    await region.write(b"one")
    region.cache.envelopes.clear()

    assert await region.value() == b"one"
    assert region.cache.envelopes == region.store.envelopes


async def test_a_delete_leaves_tombstones_and_nothing_to_read(region: Region) -> None:
    await region.write(b"one")
    await region.records.delete(*KEY, ANY)

    assert await region.value() is None
    assert decode(region.store.envelopes[KEY]).tombstone
    assert region.cache.envelopes == region.store.envelopes


async def test_deleting_what_is_not_there_writes_nothing(region: Region) -> None:
    await region.records.delete(*KEY, ANY)

    assert not region.store.envelopes


async def test_a_write_after_a_delete_creates_with_a_higher_version(region: Region) -> None:
    await region.write(b"one")
    await region.records.delete(*KEY, ANY)
    buried = decode(region.store.envelopes[KEY]).version
    written = await region.records.write(*KEY, b"two", "", Conditions(if_none_match="*"))

    assert written.created
    assert written.version > buried


async def test_a_failed_condition_tells_the_present_version_and_changes_nothing(region: Region) -> None:
    version = await region.write(b"one")

    with pytest.raises(PreconditionFailed) as failure:
        await region.write(b"two", Conditions(if_match='"1"'))

    assert failure.value.present == version
    assert await region.value() == b"one"


async def test_a_deleted_record_fails_if_match_with_no_version(region: Region) -> None:
    await region.write(b"one")
    await region.records.delete(*KEY, ANY)

    with pytest.raises(PreconditionFailed) as failure:
        await region.write(b"two", Conditions(if_match="*"))

    assert failure.value.present is None


async def test_a_write_over_a_version_from_the_future_is_refused(region: Region) -> None:
    await region.write(b"one")
    region.now_us -= 5_000_000

    with pytest.raises(ClockSkew):
        await region.write(b"two")


async def test_a_cached_copy_from_the_future_is_not_believed(region: Region) -> None:
    await region.write(b"one")
    region.cache.envelopes[KEY] = encode(Envelope(NOW_US + 5_000_000, "there", "", b"future"))

    assert await region.value() == b"one"


async def test_a_cached_copy_that_cannot_be_read_is_a_miss(region: Region) -> None:
    await region.write(b"one")
    region.cache.envelopes[KEY] = b"no envelope"

    assert await region.value() == b"one"


async def test_without_the_cache_reads_and_writes_go_on(region: Region) -> None:
    region.cache.is_away = True
    await region.write(b"one")

    assert await region.value() == b"one"


async def test_a_key_the_cache_was_not_told_about_is_read_from_the_store(region: Region) -> None:
    await region.write(b"one")
    region.cache.is_away = True
    await region.write(b"two")
    region.cache.is_away = False

    assert await region.value() == b"two"


async def test_the_cache_is_told_when_it_is_back(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvservice.core.suspects.PAUSE_S", 0)
    await region.write(b"one")
    region.cache.is_away = True
    await region.write(b"two")
    mending = asyncio.create_task(region.suspects.mend())
    await asyncio.sleep(0)
    region.cache.told.clear()
    region.cache.is_away = False
    await asyncio.wait_for(region.cache.told.wait(), 5)
    mending.cancel()

    assert region.cache.envelopes == region.store.envelopes
    assert KEY not in region.suspects


async def test_an_older_copy_getting_through_does_not_clear_a_suspect_key(region: Region) -> None:
    await region.write(b"one")
    old = region.store.envelopes[KEY]
    region.cache.is_away = True
    await region.write(b"two")
    region.cache.is_away = False
    await region.suspects.publish(KEY, old)

    assert KEY in region.suspects


async def test_suspect_keys_are_bounded_and_the_oldest_is_given_up(region: Region) -> None:
    region.cache.is_away = True
    for number in range(LIMIT + 1):
        await region.suspects.publish(Key("ns", str(number)), bytes(8))

    assert len(region.suspects) == LIMIT
    assert Key("ns", "0") not in region.suspects
    assert len(region.given_up) == 1

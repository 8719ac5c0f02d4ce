"""The region's cache on real shards: nothing old ever replaces anything newer, and a lost shard is a miss."""

import asyncio
import random
from typing import Any

import pytest
from kvcaching import KEY, envelope

from kvservice.cache.redis import RedisCache
from kvservice.core.clock import system_us
from kvservice.core.envelope import Envelope, encode, never_written, newer
from kvservice.core.ports import Key
from kvservice.errors import CacheUnavailable

pytestmark = pytest.mark.real
NAME = "kv1:ns:id"


async def value(cache: RedisCache, key: Key = KEY) -> bytes | None:
    copy = await cache.get(key)
    return None if copy is None else copy.envelope


async def refill(cache: RedisCache, envelope: bytes, key: Key = KEY, cost_s: float = 1e-6) -> None:
    """As a reader does that has just missed."""
    await cache.lease(key)
    await cache.offer(key, envelope, cost_s=cost_s)


async def test_a_copy_says_when_the_store_was_asked_and_what_that_took(open_cache: Any, valkey: Any) -> None:
    cache = open_cache(valkey.url, chance=0.5)
    await cache.lease(KEY)
    await asyncio.sleep(0.25)
    await cache.offer(KEY, envelope(256, b"\x00\xff"), cost_s=0.25)
    copy = await cache.get(KEY)

    assert copy is not None
    assert copy.envelope == envelope(256, b"\x00\xff")
    assert copy.cost_s == 0.25
    assert copy.age_s >= 0.25
    assert copy.age_s + copy.fresh_s == pytest.approx(600 * 0.95)
    assert 0 < valkey.client.pttl(NAME) <= (600 * 0.95 + 3600) * 1000


async def test_copies_are_fresh_for_different_times(cache: RedisCache) -> None:
    keys = [Key("ns", str(number)) for number in range(50)]
    for key in keys:
        await cache.offer(key, envelope(256))
    copies = [await cache.get(key) for key in keys]
    lives = [copy.age_s + copy.fresh_s for copy in copies if copy is not None]

    assert 540 <= min(lives) < 550
    assert 590 < max(lives) <= 600


async def test_that_there_is_nothing_is_believed_for_a_short_time(open_cache: Any, valkey: Any) -> None:
    cache = open_cache(valkey.url, chance=0.0)
    await refill(cache, never_written())
    copy = await cache.get(KEY)

    assert copy is not None
    assert copy.age_s + copy.fresh_s == pytest.approx(30)


async def test_a_write_is_seen_at_once_where_there_was_nothing(cache: RedisCache) -> None:
    await refill(cache, never_written())
    await cache.offer(KEY, envelope(256), announce=True)
    await refill(cache, never_written())

    assert await value(cache) == envelope(256)


@pytest.mark.parametrize("step", [1, 255, 256, 2**31, 2**32, 2**40, 2**56])
async def test_a_newer_version_replaces_an_older_one_and_not_the_reverse(cache: RedisCache, step: int) -> None:
    versions = [2**52, 2**52 + step]
    for version in versions:
        await cache.offer(KEY, envelope(version))
    await cache.offer(KEY, envelope(versions[0]))

    assert await value(cache) == envelope(versions[1])


async def test_of_two_envelopes_of_one_version_the_larger_bytes_stay(open_cache: Any, valkey: Any) -> None:
    payloads = [b"", b"\x00", b"\x00\xff", b"A", b"a", b"B", b"\x7f", b"\x80", b"\xc3\xa4", b"\xff", b"\xff\x00"]
    cache = open_cache(valkey.url)
    for first in payloads:
        for second in payloads:
            key = Key("ns", f"{first.hex()}-{second.hex()}")
            one, other = envelope(256, first), envelope(256, second)
            await cache.offer(key, one)
            await cache.offer(key, other)

            assert await value(cache, key) == (one if newer(one, other) else other)


async def test_the_same_envelope_is_renewed(open_cache: Any, valkey: Any) -> None:
    cache = open_cache(valkey.url)
    await cache.lease(KEY)
    await asyncio.sleep(0.2)
    await cache.offer(KEY, envelope(256), cost_s=0.2)
    before = await cache.get(KEY)
    await cache.offer(KEY, envelope(256))
    after = await cache.get(KEY)

    assert before is not None
    assert after is not None
    assert after.age_s < before.age_s


async def test_the_newest_of_racing_offers_stays(cache: RedisCache) -> None:
    chance = random.Random(1)
    for race in range(50):
        key = Key("ns", str(race))
        versions = [256 * number for number in range(1, 21)]
        chance.shuffle(versions)
        await asyncio.gather(*(cache.offer(key, envelope(version)) for version in versions))

        assert await value(cache, key) == envelope(256 * 20)


async def test_a_slow_readers_refill_brings_no_deleted_record_back(cache: RedisCache) -> None:
    await cache.lease(KEY)
    await cache.offer(KEY, encode(Envelope(512, "here", "", b"", tombstone=True)), announce=True)
    await cache.offer(KEY, envelope(256, b"old"), cost_s=1e-6)

    assert await value(cache) == encode(Envelope(512, "here", "", b"", tombstone=True))


async def test_what_was_read_before_the_shard_was_emptied_does_not_get_in(cache: RedisCache, valkey: Any) -> None:
    await cache.lease(KEY)
    await cache.offer(KEY, envelope(512, b"newer"), announce=True)
    valkey.client.flushall()
    with pytest.raises(CacheUnavailable, match="lost"):
        await cache.offer(KEY, envelope(256, b"older"), cost_s=1e-6)

    assert await value(cache) is None


async def test_nor_if_somebody_has_filled_something_else_since(cache: RedisCache, open_cache: Any, valkey: Any) -> None:
    await cache.lease(KEY)
    valkey.client.flushall()
    await refill(open_cache(valkey.url), envelope(256), Key("ns", "other"))
    await cache.lease(Key("ns", "third"))
    with pytest.raises(CacheUnavailable, match="lost"):
        await cache.offer(KEY, envelope(256, b"older"), cost_s=1)

    assert await value(cache) is None


async def test_after_a_flush_the_first_reader_that_misses_fills(cache: RedisCache, valkey: Any) -> None:
    await refill(cache, envelope(256))
    valkey.client.flushall()
    await refill(cache, envelope(256))

    assert await value(cache) == envelope(256)


async def test_what_took_longer_than_copies_live_does_not_get_in(open_cache: Any, valkey: Any) -> None:
    cache = open_cache(valkey.url, ttl_s=0.2, stale_s=0)
    await cache.lease(KEY)
    await asyncio.sleep(0.3)
    with pytest.raises(CacheUnavailable, match="lost"):
        await cache.offer(KEY, envelope(256), cost_s=0.25)

    assert await value(cache) is None


async def test_a_lease_is_had_by_one_and_ends_by_itself(
    open_cache: Any, valkey: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvservice.cache.redis.LEASE_MS", 300)
    pods = [open_cache(valkey.url) for _ in range(3)]
    had = await asyncio.gather(*(pod.lease(KEY) for pod in pods for _ in range(10)))

    assert sum(had) == 1
    assert 0 < valkey.client.pttl("kv1-lease:ns:id") <= 300
    for _ in range(1_000):
        if await pods[2].lease(KEY):
            return
        await asyncio.sleep(0.01)
    pytest.fail("the lease is still held after 10 s")


async def test_items_are_apart_from_each_other_and_from_the_ids_own_value(cache: RedisCache) -> None:
    keys = [Key("ns", "id"), Key("ns", "id", "a"), Key("ns", "id", "b"), Key("ns", "id:a")]
    for number, key in enumerate(keys, 1):
        await cache.offer(key, envelope(256 * number))

    assert [await value(cache, key) for key in keys] == [envelope(256 * number) for number in range(1, 5)]


async def test_a_server_that_has_forgotten_the_scripts_is_taught_again(cache: RedisCache, valkey: Any) -> None:
    await refill(cache, envelope(256))
    valkey.client.script_flush()
    await refill(cache, envelope(512))

    assert await value(cache) == envelope(512)


async def test_more_callers_than_connections_wait_their_turn(cache: RedisCache) -> None:
    await cache.offer(KEY, envelope(256))

    assert {*await asyncio.gather(*(value(cache) for _ in range(500)))} == {envelope(256)}


async def test_a_refusal_is_no_outage(cache: RedisCache, valkey: Any) -> None:
    valkey.client.rpush("kv1:ns:list", "x")
    for _ in range(10):
        with pytest.raises(CacheUnavailable, match="WRONGTYPE"):
            await cache.get(Key("ns", "list"))

    assert await cache.get(KEY) is None


async def test_the_clock_is_that_of_the_first_shard_that_answers(shards: list[Any], open_cache: Any) -> None:
    cache = open_cache(*(shard.url for shard in shards))
    shards[0].process.kill()
    shards[0].process.wait()
    begin_us = system_us()
    now_us = await cache.now_us()

    assert begin_us - 1_000 <= now_us <= system_us() + 1_000


async def test_without_a_shard_there_is_no_clock(cache: RedisCache, valkey: Any) -> None:
    valkey.process.kill()
    valkey.process.wait()

    with pytest.raises(CacheUnavailable):
        await cache.now_us()


async def test_keys_are_spread_and_a_lost_shard_takes_only_its_own(shards: list[Any], open_cache: Any) -> None:
    cache = open_cache(*(shard.url for shard in shards))
    keys = [Key("ns", str(number)) for number in range(60)]
    for key in keys:
        await cache.offer(key, envelope(256))
    sizes = [len(shard.client.keys("kv1:*")) for shard in shards]
    shards[1].process.kill()
    shards[1].process.wait()
    answers = await asyncio.gather(*(value(cache, key) for key in keys), return_exceptions=True)

    assert sum(sizes) == 60
    assert min(sizes) > 5
    assert sum(answer == envelope(256) for answer in answers) == 60 - sizes[1]
    assert sum(isinstance(answer, CacheUnavailable) for answer in answers) == sizes[1]


async def test_a_dead_shard_is_left_alone_after_some_failures(cache: RedisCache, valkey: Any) -> None:
    valkey.process.kill()
    valkey.process.wait()
    reasons: list[str] = []
    while not reasons or "left alone" not in reasons[-1]:
        with pytest.raises(CacheUnavailable) as failure:
            await cache.get(KEY)
        reasons.append(str(failure.value))

    assert len(reasons) > 5

"""The change feed of the cache's shards: each write of this region that was set, once; resumed by cursor; gaps show."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kvcaching import KEY, envelope

from kvservice.cache.feed import RedisFeed
from kvservice.cache.redis import RedisCache
from kvservice.core.ports import Entry, Key
from kvservice.errors import InvalidRequest, Unavailable

pytestmark = pytest.mark.real
KEYS = [Key("ns", str(number)) for number in range(60)]


@pytest.fixture
async def feed(valkey: Any) -> AsyncIterator[RedisFeed]:
    feed = RedisFeed([valkey.url])
    yield feed
    await feed.close()


@pytest.fixture
async def feed_of_three(shards: list[Any]) -> AsyncIterator[RedisFeed]:
    feed = RedisFeed([shard.url for shard in shards])
    yield feed
    await feed.close()


async def write(cache: RedisCache, version: int, key: Key = KEY, payload: bytes = b"") -> Entry:
    entry = Entry(key, envelope(version, payload))
    await cache.offer(*entry, announce=True)
    return entry


async def all_of(feed: RedisFeed, cursor: str = "", limit: int = 1_000) -> list[Entry]:
    found = []
    while (page := await feed.read(cursor, limit=limit, wait_s=0)).entries:
        assert not page.lost
        found += page.entries
        cursor = page.cursor
    return found


async def test_a_feed_tells_the_writes_that_were_set_and_nothing_else(cache: RedisCache, feed: RedisFeed) -> None:
    written = [await write(cache, 256), await write(cache, 512, Key("ns", "a:b", "ä"))]
    await cache.offer(KEY, envelope(768))  # a refill, or another region's
    await write(cache, 512)  # too late
    await write(cache, 512, Key("ns", "a:b", "ä"))  # again

    assert await all_of(feed) == written


async def test_a_write_that_a_reader_had_put_in_before_is_told_all_the_same(cache: RedisCache, feed: RedisFeed) -> None:
    await cache.offer(KEY, envelope(256))
    written = await write(cache, 256)

    assert await all_of(feed) == [written]


async def test_an_announced_write_is_not_told_again_after_a_refill(cache: RedisCache, feed: RedisFeed) -> None:
    written = await write(cache, 256)
    await cache.offer(KEY, envelope(256))
    await write(cache, 256)

    assert await all_of(feed) == [written]


async def test_the_last_entry_of_a_record_is_its_newest_write(cache: RedisCache, feed: RedisFeed) -> None:
    await asyncio.gather(*(write(cache, 256 * (number * 37 % 100 + 1)) for number in range(100)))

    assert (await all_of(feed))[-1].envelope == envelope(256 * 100)


@pytest.mark.parametrize("limit", [1, 2, 7, 1_000])
async def test_a_cursor_goes_on_where_the_page_ended(
    shards: list[Any], open_cache: Any, feed_of_three: RedisFeed, limit: int
) -> None:
    cache = open_cache(*(shard.url for shard in shards))
    written = [await write(cache, 256, key) for key in KEYS]

    assert sorted(await all_of(feed_of_three, limit=limit)) == sorted(written)


async def test_pages_are_bounded_in_bytes(cache: RedisCache, feed: RedisFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvservice.cache.feed.PAGE_BYTES", 50_000)
    written = [await write(cache, 256, key, bytes(20_000)) for key in KEYS]
    page = await feed.read("", limit=1_000, wait_s=0)

    assert len(page.entries) == 3
    assert await all_of(feed) == written


async def test_a_reader_is_woken_by_a_write(shards: list[Any], open_cache: Any, feed_of_three: RedisFeed) -> None:
    cache = open_cache(*(shard.url for shard in shards))
    await asyncio.gather(*(write(cache, 256, key) for key in KEYS))
    page = await feed_of_three.read("", limit=1_000, wait_s=0)
    waiting = asyncio.create_task(feed_of_three.read(page.cursor, limit=1_000, wait_s=60))
    await _blocked(shards)
    written = await write(cache, 512)

    assert (await waiting).entries == [written]


async def test_a_reader_of_an_empty_feed_is_woken_too(feed: RedisFeed, cache: RedisCache, valkey: Any) -> None:
    waiting = asyncio.create_task(feed.read("", limit=10, wait_s=60))
    await _blocked([valkey])
    await cache.lease(KEY)  # it begins the epoch, and says nothing
    page = await waiting
    waiting = asyncio.create_task(feed.read(page.cursor, limit=10, wait_s=60))
    await _blocked([valkey])
    written = await write(cache, 256)
    after = await waiting

    assert page.entries == []
    assert (after.entries, after.lost) == ([written], False)


async def test_nothing_to_tell_is_an_empty_page_after_the_wait(feed: RedisFeed, cache: RedisCache) -> None:
    await write(cache, 256)
    page = await feed.read("", limit=10, wait_s=0)

    assert await feed.read(page.cursor, limit=10, wait_s=0.01) == ([], page.cursor, False)


async def test_a_cache_that_keeps_no_feed_has_none(open_cache: Any, feed: RedisFeed, valkey: Any) -> None:
    await write(open_cache(valkey.url, feed_bytes=0), 256)

    assert (await feed.read("", limit=10, wait_s=0)).entries == []


async def test_a_feed_that_was_trimmed_beyond_the_cursor_says_so_once(
    open_cache: Any, feed: RedisFeed, valkey: Any
) -> None:
    cache = open_cache(valkey.url, feed_bytes=200_000)
    await write(cache, 256)
    cursor = (await feed.read("", limit=10, wait_s=0)).cursor
    written = [await write(cache, 256 * number, KEY, bytes(10_000)) for number in range(2, 100)]
    page = await feed.read(cursor, limit=1_000, wait_s=0)
    after = await feed.read(page.cursor, limit=1_000, wait_s=0)

    assert page.lost
    assert 10 < len(page.entries) < 30
    assert page.entries == written[-len(page.entries) :]
    assert (after.entries, after.lost) == ([], False)


async def test_a_feed_that_was_flushed_says_so_once(cache: RedisCache, feed: RedisFeed, valkey: Any) -> None:
    await write(cache, 256)
    cursor = (await feed.read("", limit=10, wait_s=0)).cursor
    valkey.client.flushall()
    empty = await feed.read(cursor, limit=10, wait_s=60)
    written = await write(cache, 512)
    after = await feed.read(empty.cursor, limit=10, wait_s=0)
    late = await feed.read(cursor, limit=10, wait_s=0)

    assert (empty.entries, empty.lost) == ([], True)
    assert (after.entries, after.lost) == ([written], False)
    assert (late.entries, late.lost) == ([written], True)


async def test_a_feed_that_was_evicted_begins_anew_and_says_so(cache: RedisCache, feed: RedisFeed, valkey: Any) -> None:
    await write(cache, 256)
    cursor = (await feed.read("", limit=10, wait_s=0)).cursor
    valkey.client.delete("kv1-feed")
    written = [await write(cache, 512), await write(cache, 768)]
    page = await feed.read(cursor, limit=10, wait_s=0)

    assert (page.entries, page.lost) == (written, True)


async def test_a_feed_whose_epoch_was_evicted_goes_on_even_if_the_clock_went_back(
    cache: RedisCache, feed: RedisFeed, valkey: Any
) -> None:
    await write(cache, 256)
    valkey.client.xadd("kv1-feed", {"entry": b"", "envelope": b""}, id="9999999999999999-1")
    valkey.client.delete("kv1-epoch")
    cursor = (await feed.read("", limit=10, wait_s=0)).cursor
    written = await write(cache, 512)
    page = await feed.read(cursor, limit=10, wait_s=0)

    assert (page.entries, page.lost) == ([written], True)


async def test_a_shard_that_is_away_does_not_stop_the_others_and_keeps_its_place(
    shards: list[Any], open_cache: Any, feed_of_three: RedisFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvservice.cache.feed.TIMEOUT_S", 0.2)
    cache = open_cache(*(shard.url for shard in shards))
    first = [await write(cache, 256, key) for key in KEYS]
    page = await feed_of_three.read("", limit=1_000, wait_s=0)
    second = [await write(cache, 512, key) for key in KEYS]
    shards[0].process.send_signal(signal.SIGSTOP)
    partial = await feed_of_three.read(page.cursor, limit=1_000, wait_s=0)
    shards[0].process.send_signal(signal.SIGCONT)
    rest = await feed_of_three.read(partial.cursor, limit=1_000, wait_s=0)

    assert sorted(page.entries) == sorted(first)
    assert 0 < len(partial.entries) < 60
    assert not partial.lost
    assert not rest.lost
    assert sorted(partial.entries + rest.entries) == sorted(second)


async def test_without_any_shard_there_is_no_feed(feed: RedisFeed, valkey: Any) -> None:
    valkey.process.kill()
    valkey.process.wait()

    with pytest.raises(Unavailable, match="no shard"):
        await feed.read("", limit=10, wait_s=0)


@pytest.mark.parametrize("cursor", ["x", "0", "0123abcd:1", "0123abcd:1-2,", "0123ABCD:1-2", "0123abcd:-1-2", "é" * 99])
async def test_a_cursor_that_is_none_is_refused(feed: RedisFeed, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="no cursor"):
        await feed.read(cursor, limit=10, wait_s=0)


async def _blocked(shards: list[Any]) -> None:
    """Until each shard has a client that waits."""
    for _ in range(1_000):
        if all(shard.client.info("clients")["blocked_clients"] for shard in shards):
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits after 10 s")

"""From settings to the parts of a region that a process works with: store, cache, change feed, clock."""

import random
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

from kvservice.cache.none import NoCache
from kvservice.core.clock import HybridClock, system_us, writer_slot
from kvservice.core.ports import Cache, Feed, Store
from kvservice.core.skew import Skew
from kvservice.settings import Settings
from kvservice.store.embedded import EmbeddedFeed, EmbeddedStore
from kvservice.telemetry import Telemetry

if TYPE_CHECKING:
    from kvservice.cassandra import Nodes


class Parts(NamedTuple):
    """`feed`: of the embedded store, or else of the cache; None if there is neither."""

    store: Store
    cache: Cache
    feed: Feed | None
    clock: HybridClock
    skew: Skew


async def take(settings: Settings, telemetry: Telemetry, stack: AsyncExitStack) -> Parts:
    """All are closed with the stack. Raises StartError."""
    store, feed = await _store_and_feed(settings, telemetry, stack)
    cache = _cache(settings, telemetry, stack)
    references = {"the store's clock": store.now_us, "the cache's clock": cache.now_us}
    skew = Skew(references=references, now_us=system_us, now_s=time.monotonic)
    telemetry.watch_clock(skew.offset_s)
    await skew.begin()
    clock = HybridClock(system_us, writer_slot(settings.pod), skew.objection, telemetry.version_refused)
    return Parts(store, cache, feed, clock, skew)


def telemetry(settings: Settings, version: str) -> Telemetry:
    return Telemetry(
        edges_s=settings.latency_edges_s,
        build=settings.build,
        version=version,
        region=settings.region,
        revision=settings.revision,
    )


def nodes(settings: Settings) -> "Nodes":
    """The Cassandra of KV_CASSANDRA_*."""
    from kvservice.cassandra import Nodes  # its driver brings numpy, too: for those who need it

    return Nodes(
        points=settings.cassandra_points,
        datacenter=settings.cassandra_datacenter or settings.region,
        username=settings.cassandra_username,
        password=settings.cassandra_password.get_secret_value(),
        ca=settings.cassandra_ca,
    )


async def _store_and_feed(settings: Settings, telemetry: Telemetry, stack: AsyncExitStack) -> tuple[Store, Feed | None]:
    if not settings.cassandra_points:
        embedded = EmbeddedStore(settings.store_path, telemetry)
        stack.push_async_callback(embedded.close)
        return embedded, EmbeddedFeed(embedded)
    from kvservice.store.cassandra import CassandraStore  # the driver is for those who need it

    store = await CassandraStore.connect(nodes(settings), settings.cassandra_keyspace, telemetry)
    stack.push_async_callback(store.close)
    return store, _cache_feed(settings, stack)


def _cache(settings: Settings, telemetry: Telemetry, stack: AsyncExitStack) -> Cache:
    if not settings.cache_urls:
        return NoCache()
    from kvservice.cache.redis import RedisCache  # a quarter of a pod's memory, for those who need it

    cache = RedisCache(
        settings.cache_urls,
        ttl_s=settings.cache_ttl_s,
        stale_s=settings.cache_stale_s,
        feed_bytes=settings.cache_feed_bytes if settings.cassandra_points else 0,  # the embedded store has its own
        telemetry=telemetry,
        now_us=system_us,
        random=random.random,
    )
    stack.push_async_callback(cache.close)
    return cache


def _cache_feed(settings: Settings, stack: AsyncExitStack) -> Feed | None:
    if not settings.cache_urls:
        return None
    from kvservice.cache.feed import RedisFeed

    feed = RedisFeed(settings.cache_urls)
    stack.push_async_callback(feed.close)
    return feed

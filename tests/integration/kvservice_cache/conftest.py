"""Caches over real shards. A busy machine is not their fault: their timeout is long, but where it is the topic."""

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kvparts import Valkey, valkeys

from kvservice.cache.redis import RedisCache
from kvservice.core.clock import system_us
from kvservice.telemetry import Telemetry

OpenCache = Callable[..., RedisCache]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvservice.cache.shard.TIMEOUT_S", 10)


@pytest.fixture
def shards(tmp_path: Path) -> Iterator[list[Valkey]]:
    """Three servers."""
    with ExitStack() as stack:
        yield [stack.enter_context(valkeys(tmp_path)) for _ in range(3)]


@pytest.fixture
async def open_cache(_patient: None) -> AsyncIterator[OpenCache]:
    """-> open(urls, **settings) -> a pod's cache."""
    opened = []

    def open_(
        *urls: str,
        ttl_s: float = 600,
        stale_s: float = 3600,
        feed_bytes: int = 2**20,
        chance: float | None = None,
        policy: type[RedisCache] = RedisCache,
    ) -> RedisCache:
        telemetry = Telemetry(edges_s=(), build="", version="", region="", revision="")
        draw = random.Random(1).random if chance is None else lambda: chance
        kept = {"ttl_s": ttl_s, "stale_s": stale_s}
        cache = policy(urls, **kept, feed_bytes=feed_bytes, telemetry=telemetry, now_us=system_us, random=draw)
        opened.append(cache)
        return cache

    yield open_
    for cache in opened:
        await cache.close()


@pytest.fixture
def cache(open_cache: OpenCache, valkey: Valkey) -> RedisCache:
    return open_cache(valkey.url)

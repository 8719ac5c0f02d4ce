"""The region's cache in Valkey or Redis, over independent shards. Entries get in by set-if-newer only and leave by age
only, so that a slow writer can neither overwrite a newer version nor bring back a deleted one; and what was read from
the store before a shard lost its memory does not get in after.

All pods of a region must have the same shards: a pod with others fills and reads other copies. A shard that comes back
to the list with what it had before brings copies as old as the time to live.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import cast

from kvservice.cache.entry import EPOCH, FEED, copy_of, entry_name, lease_name, trailer
from kvservice.cache.shard import Shard
from kvservice.cache.shards import shard_name, shard_of
from kvservice.core.envelope import NEVER_WRITTEN, version_of
from kvservice.core.ports import Copy, Key
from kvservice.errors import CacheUnavailable
from kvservice.telemetry import Telemetry

LEASE_MS = 1_000  # longer than nearly all reads of the store; after it the holder is taken for dead
JITTER = 0.1  # of the time to live, at most: what was filled together does not get stale together
NEGATIVE_S = 30.0  # at most: whatever another region writes is told to the cache, but that may be lost


class RedisCache:
    """`ttl_s`: how long a copy is fresh. `stale_s`: how long beyond that it is kept. `feed_bytes`: of each shard's
    change feed, about, beyond which its oldest tenth goes; 0: no feed is kept. `random`: 0 <= x < 1."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        ttl_s: float,
        stale_s: float,
        feed_bytes: int,
        telemetry: Telemetry,
        now_us: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        self._names = [shard_name(url) for url in urls]
        self._shards = [Shard(url, str(number)) for number, url in enumerate(urls)]
        self._ttl_s = ttl_s
        self._stale_s = stale_s
        self._feed_bytes = feed_bytes
        self._telemetry = telemetry
        self._now_us = now_us
        self._random = random

    async def get(self, key: Key) -> Copy | None:
        name = entry_name(key)
        shard = self._shard(name)
        try:
            entry = await shard.run(shard.redis.get, name)
        except CacheUnavailable:
            self._telemetry.cache_read("error")
            raise
        self._telemetry.cache_read("miss" if entry is None else "hit")
        return None if entry is None else copy_of(cast("bytes", entry), self._now_us())

    async def lease(self, key: Key) -> bool:
        shard = self._shard(entry_name(key))
        had, epoch = await shard.run(shard.lease, [lease_name(key), EPOCH, FEED], [LEASE_MS])
        shard.learn(epoch)
        return bool(had)

    async def offer(self, key: Key, envelope: bytes, *, cost_s: float = 0.0, announce: bool = False) -> None:
        """`cost_s` of 0: it was written, not read. Raises CacheUnavailable also if the shard has lost its memory since
        the store was asked: ask again."""
        shard = self._shard(entry_name(key))
        try:
            outcome = await self._put(shard, key, envelope, cost_s, announce)
        except CacheUnavailable:
            self._telemetry.cache_write("error")
            raise
        self._telemetry.cache_write(outcome)
        if outcome == "late":
            raise CacheUnavailable("the cache may have lost newer copies since the store was asked")

    async def now_us(self) -> int:
        """Of the first shard that answers."""
        for shard in self._shards:
            with suppress(CacheUnavailable):
                seconds, microseconds = await shard.run(shard.redis.time)
                return int(seconds) * 1_000_000 + int(microseconds)
        raise CacheUnavailable("no shard of the cache tells the time")

    async def close(self) -> None:
        for shard in self._shards:
            await shard.redis.aclose()

    def _shard(self, name: bytes) -> Shard:
        return self._shards[shard_of(name, self._names)]

    async def _put(self, shard: Shard, key: Key, envelope: bytes, cost_s: float, announce: bool) -> str:
        fresh_s = self._fresh_s(envelope)
        keep_ms = max(round((fresh_s + self._stale_s) * 1e3), 1)
        if cost_s >= self._ttl_s * (1 - JITTER) + self._stale_s:
            return "late"  # a newer copy may have come and gone meanwhile
        asked_in = shard.epoch_at(monotonic() - cost_s) if cost_s else b""
        metadata = trailer(self._now_us() - round(cost_s * 1e6), fresh_s, cost_s)
        arguments = [envelope, metadata, keep_ms, asked_in, int(announce and self._feed_bytes > 0), self._feed_bytes]
        outcome, epoch = await shard.run(shard.set_if_newer, [entry_name(key), EPOCH, FEED], arguments)
        shard.learn(epoch)
        return str(outcome.decode())

    def _fresh_s(self, envelope: bytes) -> float:
        ttl_s = min(self._ttl_s, NEGATIVE_S) if version_of(envelope) == NEVER_WRITTEN else self._ttl_s
        return ttl_s * (1 - JITTER * self._random())

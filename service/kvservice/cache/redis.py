"""The region's cache in Valkey or Redis. Entries get in by set-if-newer only and leave by age only, so that a slow
writer can neither overwrite a newer version nor bring back a deleted one.

Each operation has one short timeout; a breaker keeps a dead cache from costing every request that time.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from kvservice.cache.breaker import Breaker
from kvservice.core.ports import Key
from kvservice.errors import CacheUnavailable
from kvservice.telemetry import Telemetry

TIMEOUT_S = 0.05  # a cache that is slower than this does not help a read
CONNECTIONS = 32  # callers beyond it wait their turn; that time is this pod's load, and not held against the cache

# The versions are compared as two numbers: Lua compares strings by the server's locale, not by their bytes.
_SET_IF_NEWER = """
local there = redis.call('GETRANGE', KEYS[1], 0, 7)
if #there == 8 then
  local there_high, there_low = struct.unpack('>I4I4', there)
  local high, low = struct.unpack('>I4I4', ARGV[1])
  if there_high > high or (there_high == high and there_low >= low) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

log = logging.getLogger(__name__)


class RedisCache:
    """`ttl_s`: how long an entry is kept."""

    def __init__(self, url: str, ttl_s: float, telemetry: Telemetry) -> None:
        pool = ConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self._redis = Redis.from_pool(pool)
        self._set_if_newer = self._redis.register_script(_SET_IF_NEWER)
        self._ttl_ms = int(ttl_s * 1000)
        self._telemetry = telemetry
        self._breaker = Breaker(time.monotonic)
        self._turns = asyncio.Semaphore(CONNECTIONS)

    async def get(self, key: Key) -> bytes | None:
        try:
            copy = await self._bounded(self._redis.get, _name(key))
        except CacheUnavailable:
            self._telemetry.cache_read("error")
            raise
        self._telemetry.cache_read("miss" if copy is None else "hit")
        return cast("bytes | None", copy)

    async def offer(self, key: Key, envelope: bytes) -> None:
        try:
            put = await self._bounded(self._set_if_newer, [_name(key)], [envelope, self._ttl_ms])
        except CacheUnavailable:
            self._telemetry.cache_write("error")
            raise
        self._telemetry.cache_write("set" if put else "kept")

    async def close(self) -> None:
        await self._redis.aclose()

    async def _bounded(self, operation: Callable[..., Awaitable[object]], *arguments: object) -> object:
        async with self._turns:
            if not self._breaker.admits():
                raise CacheUnavailable("the cache failed a moment ago and is left alone for now")
            return await self._watched(operation, *arguments)

    async def _watched(self, operation: Callable[..., Awaitable[object]], *arguments: object) -> object:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await operation(*arguments)
        except ResponseError as error:  # it is alive and refuses, for want of memory, say
            raise CacheUnavailable(str(error)) from error
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self._note_failure(error)
            raise CacheUnavailable(f"{type(error).__name__} {error}") from error
        was_open = self._breaker.is_open
        self._breaker.succeeded()
        if was_open and not self._breaker.is_open:
            log.info("cache_back")
        return answer

    def _note_failure(self, error: Exception) -> None:
        was_open = self._breaker.is_open
        self._breaker.failed()
        if self._breaker.is_open and not was_open:
            log.warning("cache_away", extra={"error": f"{type(error).__name__} {error}"})


def _name(key: Key) -> bytes:
    return f"kv:{key.namespace}:{key.id}".encode()

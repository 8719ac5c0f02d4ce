"""One shard: a connection pool with one short timeout for each operation, and a breaker that keeps a dead shard from
costing every request that time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from kvservice.cache.breaker import Breaker
from kvservice.cache.scripts import LEASE, SET_IF_NEWER
from kvservice.errors import CacheUnavailable

TIMEOUT_S = 0.05  # a cache that is slower than this does not help a read
CONNECTIONS = 32  # callers beyond it wait their turn; that time is this pod's load, and not held against the shard

log = logging.getLogger(__name__)
_T = TypeVar("_T")


def connect(url: str, *, timeout_s: float | None, connections: int) -> Redis:
    """A client that opens connections when it needs them, and tries each operation once."""
    pool = ConnectionPool.from_url(
        url,
        max_connections=connections,
        socket_timeout=timeout_s,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return Redis.from_pool(pool)


class Shard:
    """`name` is for the log. `epoch`: see `kvservice.cache.scripts`."""

    def __init__(self, url: str, name: str) -> None:
        self.redis = connect(url, timeout_s=TIMEOUT_S, connections=CONNECTIONS)
        self.lease = self.redis.register_script(LEASE)
        self.set_if_newer = self.redis.register_script(SET_IF_NEWER)
        self._name = name
        self._breaker = Breaker(monotonic)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._timeouts = 0
        self._epoch = b""
        self._epoch_known_s = 0.0

    async def run(self, operation: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:
        """Raises CacheUnavailable, at the latest when a timeout that began before this call is over."""
        timeouts = self._timeouts
        async with self._turns:
            if not self._breaker.admits():
                raise CacheUnavailable(f"shard {self._name} failed a moment ago and is left alone for now")
            if self._timeouts != timeouts:
                raise CacheUnavailable(f"shard {self._name} timed out for others while this operation waited its turn")
            return await self._watched(operation, *arguments)

    def learn(self, epoch: bytes) -> None:
        if epoch != self._epoch:
            self._epoch, self._epoch_known_s = epoch, monotonic()

    def epoch_at(self, at_s: float) -> bytes:
        """The epoch as this pod knew it then (time.monotonic); none may have that name."""
        return self._epoch if self._epoch and self._epoch_known_s <= at_s else b"unknown"

    async def _watched(self, operation: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await operation(*arguments)
        except ResponseError as error:  # it is alive and refuses, for want of memory, say
            self._note_success()
            raise CacheUnavailable(f"shard {self._name}: {error}") from error
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self._note_failure(error)
            raise CacheUnavailable(f"shard {self._name}: {type(error).__name__} {error}") from error
        self._note_success()
        return answer

    def _note_success(self) -> None:
        was_open = self._breaker.is_open
        self._breaker.succeeded()
        if was_open and not self._breaker.is_open:
            log.info("cache_back", extra={"shard": self._name})

    def _note_failure(self, error: Exception) -> None:
        was_open = self._breaker.is_open
        self._timeouts += isinstance(error, TimeoutError)
        self._breaker.failed()
        if self._breaker.is_open and not was_open:
            log.warning("cache_away", extra={"shard": self._name, "error": f"{type(error).__name__} {error}"})

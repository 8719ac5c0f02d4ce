"""Filling: the read path between cache and store. A copy is used while it is fresh; a missing or stale one is filled by
one reader of the region, and the others wait for it: in this pod they join its flight, elsewhere they wait for the
lease's holder to have put it into the cache. When the store fails, an old copy is better than none.

What a flight brings may be older than a request that joined it, so it is judged as a copy: by its age and version.
A cache that failed once is not asked again by the same read: it costs a read one timeout at most.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from kvservice.core.envelope import decode, never_written, version_of
from kvservice.core.ports import Cache, Clock, Copy, Key, Store
from kvservice.core.suspects import Suspects
from kvservice.errors import CacheUnavailable, EnvelopeError, Unavailable

WAIT_S = 1.0  # for the lease's holder: as long as a lease lasts, then it is taken for dead
POLL_S = 0.01  # between two looks meanwhile, on average
LOOK_AGAIN_S = 0.01  # after a miss: by then somebody may have filled the key and his lease be over
REFRESHES = 64  # early ones at once; beyond it copies just get stale
BETA = 1.0  # of the early refresh: larger is earlier
LEAST_COST_S = 1e-6  # of asking the store: 0 would say that it was not asked

Allows = Callable[[Copy, int], bool]
_T = TypeVar("_T")


class Fetched(NamedTuple):
    """`envelope`: `never_written()` if the store has none. `age_s`: since the store was asked; None: it was asked for
    this very request. `stale_s`: how long it has been stale; None: it is not."""

    envelope: bytes
    age_s: float | None
    stale_s: float | None


class _Brought(NamedTuple):
    """A copy as it was at `at_s`: when the store was asked, or when the cache had it."""

    copy: Copy
    at_s: float
    is_stored: bool

    def aged(self, now_s: float) -> Copy:
        by_s = now_s - self.at_s
        return self.copy._replace(age_s=self.copy.age_s + by_s, fresh_s=self.copy.fresh_s - by_s)


class Filling:
    """`count` is told how reads went: fresh (cached copy), stored, joined (another's flight), leased (another pod's
    fill), stale, suspect, future and unreadable (copies ignored), early (refreshes begun). `random`: 0 <= x < 1."""

    def __init__(
        self,
        *,
        store: Store,
        cache: Cache,
        suspects: Suspects,
        clock: Clock,
        count: Callable[[str], None],
        random: Callable[[], float],
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._cache = cache
        self._suspects = suspects
        self._clock = clock
        self._count = count
        self._random = random
        self._now_s = now_s
        self._flights: dict[Key, asyncio.Task[_Brought]] = {}
        self._refreshing: set[Key] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._store_fails = False

    async def read(self, key: Key, *, allows: Allows, may_be_stale: bool = True) -> Fetched:
        """The newest that may be had cheaply: a fresh copy, if `allows(copy, its version)`, else what the store has at
        quorum. `may_be_stale`: if the store fails, an allowed copy of any age. Errors: Unavailable."""
        called_s = self._now_s()
        if key in self._suspects:  # mending it is under way
            self._count("suspect")
            return await self._read_store(key, quorum=True, refill=False)
        copy, refill = await self._look(key)
        at_s = self._now_s()
        if copy is not None and copy.fresh_s > 0 and allows(copy, version_of(copy.envelope)):
            self._count("fresh")
            self._refresh_if_due(key, copy)
            return Fetched(copy.envelope, copy.age_s, None)
        try:
            if copy is not None and copy.fresh_s > 0:  # others are content with it
                return await self._read_store(key, quorum=True, refill=refill)
            return await self._fill(key, allows, called_s, refill=refill)
        except Unavailable:
            old = None if copy is None else _Brought(copy, at_s, is_stored=False).aged(self._now_s())
            if not may_be_stale or old is None or not allows(old, version_of(old.envelope)):
                raise
            self._count("stale")
            return Fetched(old.envelope, old.age_s, -old.fresh_s if old.fresh_s < 0 else None)

    async def read_store(self, key: Key, *, quorum: bool = True) -> Fetched:
        """Asks the store after this call has begun, whoever else is asking; with `quorum`, the cache gets what it says.
        Errors: Unavailable."""
        return await self._read_store(key, quorum=quorum, refill=quorum and key not in self._suspects)

    def wrote(self, key: Key) -> None:
        """The store has acknowledged a write of this pod: reads that begin from now on join no earlier ones. To be
        called before the write is published."""
        self._flights.pop(key, None)

    async def close(self) -> None:
        """Cancels what is under way, and waits for its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self, key: Key) -> tuple[Copy | None, bool]:
        """-> the cached copy, if it may be used, and whether the cache works."""
        try:
            copy = await self._cache.get(key)
        except CacheUnavailable:
            return None, False
        return (copy, True) if copy is None or self._is_sound(copy) else (None, True)

    def _is_sound(self, copy: Copy) -> bool:
        try:
            version = decode(copy.envelope).version
        except (EnvelopeError, ValueError):
            self._count("unreadable")
            return False
        if self._clock.accepts(version):
            return True
        self._count("future")
        return False

    async def _fill(self, key: Key, allows: Allows, called_s: float, *, refill: bool) -> Fetched:
        flight = self._flights.get(key)
        is_mine = flight is None
        if flight is None:
            flight = self._flights[key] = self._launch(self._fly(key, called_s, refill=refill))
            flight.add_done_callback(lambda done: self._land(key, done))
        brought = await asyncio.shield(flight)  # whoever is cancelled, others wait for it
        if brought.is_stored and (is_mine or brought.at_s > called_s):
            self._count("stored" if is_mine else "joined")
            return Fetched(brought.copy.envelope, None, None)
        copy = brought.aged(self._now_s())
        if allows(copy, version_of(copy.envelope)):
            self._count("joined" if brought.is_stored else "leased")
            return Fetched(copy.envelope, copy.age_s, None)
        return await self._read_store(key, quorum=True, refill=refill)

    async def _fly(self, key: Key, called_s: float, *, refill: bool) -> _Brought:
        try:
            if refill and (copy := await self._copy_of_others(key, called_s)):
                return _Brought(copy, self._now_s(), is_stored=False)
        except CacheUnavailable:
            refill = False
        return await self._ask(key, quorum=True, refill=refill)

    async def _copy_of_others(self, key: Key, called_s: float) -> Copy | None:
        """None: nobody else fills it now, or has not done so in time."""
        leads = await self._cache.lease(key)
        if leads and self._now_s() - called_s <= LOOK_AGAIN_S:
            return None
        give_up_s = self._now_s() + (0.0 if leads else WAIT_S)
        while True:
            copy = await self._cache.get(key)
            if copy is not None and not self._is_sound(copy):
                return None  # nobody can better it
            if copy is not None and copy.fresh_s > 0:
                return copy
            if self._now_s() >= give_up_s or self._store_fails:
                return None
            await asyncio.sleep(POLL_S * (0.5 + self._random()))

    async def _read_store(self, key: Key, *, quorum: bool, refill: bool) -> Fetched:
        brought = await self._ask(key, quorum=quorum, refill=refill)
        self._count("stored")
        return Fetched(brought.copy.envelope, None, None)

    async def _ask(self, key: Key, *, quorum: bool, refill: bool) -> _Brought:
        began_s = self._now_s()
        try:
            stored = await self._store.read(key, quorum=quorum)
        except Unavailable:
            self._store_fails = True  # as the lease's holder will find: nobody need wait for him
            raise
        self._store_fails = False
        cost_s = max(self._now_s() - began_s, LEAST_COST_S)
        envelope = never_written() if stored is None else stored
        if refill:
            with suppress(CacheUnavailable):
                await self._cache.offer(key, envelope, cost_s=cost_s)
        return _Brought(Copy(envelope, 0.0, math.inf, cost_s), began_s, is_stored=True)

    def _refresh_if_due(self, key: Key, copy: Copy) -> None:
        if self._random() >= refresh_chance(copy.fresh_s, copy.cost_s):
            return
        if key in self._refreshing or len(self._refreshing) >= REFRESHES:
            return
        self._refreshing.add(key)
        self._launch(self._refresh(key)).add_done_callback(lambda _: self._refreshing.discard(key))

    async def _refresh(self, key: Key) -> None:
        with suppress(CacheUnavailable, Unavailable):
            if await self._cache.lease(key):
                self._count("early")
                await self._ask(key, quorum=True, refill=True)

    def _launch(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _land(self, key: Key, flight: asyncio.Task[_Brought]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, even if all who waited have gone


def refresh_chance(fresh_s: float, cost_s: float) -> float:
    """The probability with which a hit on a copy that is fresh for another `fresh_s`, and took `cost_s` to get, is a
    reason to refresh it: exp(-fresh / (beta * cost)), so that of a hot key's many hits about one comes early enough.
    Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention" (2015)."""
    return math.exp(-max(fresh_s, 0.0) / (BETA * cost_s)) if cost_s > 0 else 0.0

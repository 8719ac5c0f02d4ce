"""Suspect keys: the store has a newer version, but the cache could not be told, so its copy may be old.

This pod reads a suspect key from the store until the cache has been told; `mend` sees to that. Other pods may read the
old copy until then, or until it is too old to be fresh (the cache's time to live).
"""

import asyncio
from collections.abc import Callable
from itertools import islice
from time import monotonic

from kvservice.core.envelope import version_of
from kvservice.core.ports import Cache, Key, Store
from kvservice.errors import CacheUnavailable, Unavailable

PAUSE_S = 0.25  # between two tries while the cache is away
ROUND = 100  # keys tried before a pause
LIMIT = 10_000  # keys; beyond it the oldest is given up, and its copy may stay old for the time to live


class Suspects:
    def __init__(
        self,
        store: Store,
        cache: Cache,
        given_up: Callable[[], None],
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._cache = cache
        self._given_up = given_up
        self._now_s = now_s
        self._keys: dict[Key, int] = {}  # -> the version of this pod's write that the cache must have
        self._some = asyncio.Event()

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    async def publish(self, key: Key, envelope: bytes) -> bool:
        """Offers a write of this pod, which the store has acknowledged, to the cache and its change feed; the key is
        suspect if that fails."""
        try:
            await self._tell(key, envelope, cost_s=0.0, announce=True)
        except CacheUnavailable:
            self._suspect(key, version_of(envelope))
            return False
        return True

    async def mend(self) -> None:
        """Runs until cancelled; sleeps while nothing is suspect."""
        while True:
            await self._some.wait()
            if not self._keys:
                self._some.clear()
            elif not await self._mend_some():
                await asyncio.sleep(PAUSE_S)

    async def _mend_some(self) -> bool:
        """-> whether all of them are mended."""
        went_well = True
        for key in list(islice(self._keys, ROUND)):
            try:
                await self._mend_one(key)
            except CacheUnavailable:  # its shard; the next key may be another's
                went_well = False
                if key in self._keys:
                    self._keys[key] = self._keys.pop(key)
            except Unavailable:
                return False
        return went_well

    async def _mend_one(self, key: Key) -> None:
        await self._cache.get(key)  # a cache that is away is no reason to ask the store
        began_s = self._now_s()
        stored = await self._store.read(key)
        if stored is None:  # a store that was emptied by hand
            self._keys.pop(key, None)
            return
        cost_s = self._now_s() - began_s
        is_ours = version_of(stored) == self._keys.get(key)  # a newer one is announced by whoever wrote it
        await self._tell(key, stored, cost_s=cost_s, announce=is_ours)

    async def _tell(self, key: Key, envelope: bytes, *, cost_s: float, announce: bool) -> None:
        await self._cache.offer(key, envelope, cost_s=cost_s, announce=announce)
        if self._keys.get(key, 0) <= version_of(envelope):  # not if a newer write has failed meanwhile
            self._keys.pop(key, None)

    def _suspect(self, key: Key, version: int) -> None:
        self._keys[key] = max(version, self._keys.get(key, 0))
        self._some.set()
        if len(self._keys) > LIMIT:
            del self._keys[next(iter(self._keys))]
            self._given_up()

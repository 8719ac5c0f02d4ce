"""Suspect keys: the store has a newer version, but the cache could not be told, so its copy may be old.

This pod reads a suspect key from the store until the cache has been told; `mend` sees to that. Other pods may read the
old copy until then, or until it is too old to be kept (the cache's time to live).
"""

import asyncio
from collections.abc import Callable

from kvservice.core.ports import Cache, Key, Store
from kvservice.errors import CacheUnavailable, Unavailable

PAUSE_S = 0.25  # between two tries while the cache is away
LIMIT = 10_000  # keys; beyond it the oldest is given up, and its copy may stay old for the time to live


class Suspects:
    def __init__(self, store: Store, cache: Cache, given_up: Callable[[], None]) -> None:
        self._store = store
        self._cache = cache
        self._given_up = given_up
        self._keys: dict[Key, bytes] = {}  # -> the version the cache must have, as the envelope's first 8 bytes
        self._some = asyncio.Event()

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    async def publish(self, key: Key, envelope: bytes) -> bool:
        """Offers what the store holds to the cache; the key is suspect if that fails."""
        try:
            await self._cache.offer(key, envelope)
        except CacheUnavailable:
            self._suspect(key, envelope[:8])
            return False
        if self._keys.get(key, b"") <= envelope[:8]:  # not if a newer write has failed meanwhile
            self._keys.pop(key, None)
        return True

    async def mend(self) -> None:
        """Runs until cancelled; sleeps while nothing is suspect."""
        while True:
            await self._some.wait()
            while self._keys and await self._mend_one(next(iter(self._keys))):
                pass
            if self._keys:
                await asyncio.sleep(PAUSE_S)
            else:
                self._some.clear()

    async def _mend_one(self, key: Key) -> bool:
        try:
            stored = await self._store.read(key)
        except Unavailable:
            return False
        if stored is None:  # a store that was emptied by hand
            self._keys.pop(key, None)
            return True
        return await self.publish(key, stored)

    def _suspect(self, key: Key, version: bytes) -> None:
        self._keys[key] = max(version, self._keys.get(key, b""))
        self._some.set()
        if len(self._keys) > LIMIT:
            del self._keys[next(iter(self._keys))]
            self._given_up()

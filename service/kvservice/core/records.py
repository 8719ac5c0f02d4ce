"""The use cases: read, write and delete a record, over the ports. Reads go to the cache first; a write is done when the
store has it, and then offered to the cache."""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from kvservice.core.conditions import Conditions
from kvservice.core.envelope import Envelope, decode, encode
from kvservice.core.ports import Cache, Clock, Key, Store
from kvservice.core.suspects import Suspects
from kvservice.errors import CacheUnavailable, EnvelopeError, PreconditionFailed


class Written(NamedTuple):
    version: int
    created: bool


class Records:
    """Errors of all methods: StoreUnavailable, StoreBusy."""

    def __init__(self, *, store: Store, cache: Cache, clock: Clock, suspects: Suspects, region: str) -> None:
        self._store = store
        self._cache = cache
        self._clock = clock
        self._suspects = suspects
        self._region = region

    async def read(self, namespace: str, record_id: str) -> Envelope | None:
        """The record, None if there is none (any more)."""
        key = Key(namespace, record_id)
        envelope, refill = await self._cached(key)
        if envelope is None:
            stored = await self._store.read(key)
            if stored is None:
                return None
            envelope = decode(stored)
            if refill:
                with suppress(CacheUnavailable):
                    await self._cache.offer(key, stored)
        return None if envelope.tombstone else envelope

    async def write(
        self, namespace: str, record_id: str, payload: bytes, content_type: str, conditions: Conditions
    ) -> Written:
        """Errors: PreconditionFailed, InvalidRequest (a condition that cannot be read), ClockSkew."""

        def seal(version: int) -> Envelope:
            return Envelope(version, self._region, content_type, payload)

        version, replaced = await self._replace(Key(namespace, record_id), conditions, seal)
        return Written(version, replaced is None)

    async def delete(self, namespace: str, record_id: str, conditions: Conditions) -> None:
        """Leaves a tombstone, so that no older copy can come back. Deleting what is not there is no error, and does
        nothing. Errors as `write`."""

        def bury(version: int) -> Envelope:
            return Envelope(version, self._region, "", b"", tombstone=True)

        await self._replace(Key(namespace, record_id), conditions, bury)

    async def _cached(self, key: Key) -> tuple[Envelope | None, bool]:
        """-> the cached envelope, None for a miss and for a copy that must not be used: suspect, not readable, or from
        the future; and whether the cache shall be offered what the store has."""
        if key in self._suspects:
            return None, False  # mending it is under way
        try:
            copy = await self._cache.get(key)
            envelope = None if copy is None else decode(copy)
        except CacheUnavailable:
            return None, False
        except EnvelopeError:
            return None, True
        return (envelope, True) if envelope and self._clock.accepts(envelope.version) else (None, True)

    async def _replace(
        self, key: Key, conditions: Conditions, make: Callable[[int], Envelope]
    ) -> tuple[int, int | None]:
        """-> the version now present, and the version of the record it replaced (None: there was none)."""
        written: bytes | None = None
        version = 0
        live: int | None = None

        def decide(stored: bytes | None) -> bytes | None:
            nonlocal written, version, live
            present = None if stored is None else decode(stored)
            highest = 0 if present is None else present.version
            live = None if present is None or present.tombstone else present.version
            if not conditions.admit(live):
                raise PreconditionFailed(live)
            version = self._clock.issue(highest)
            envelope = make(version)
            written = None if envelope.tombstone and live is None else encode(envelope)
            return written

        await self._store.update(key, decide)
        if written is not None:
            await self._suspects.publish(key, written)
        return version, live

"""The relay follows one peer region's change feed and brings its writes into this region's cache, and into its store
unless the store replicates by itself.

At least once, in any order: all it does is set-if-newer. An entry is never dropped, with one exception: what the cache
cannot be told is left to the cache's time to live. The place in the feed is kept in the store.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, TypeVar

from kvservice.core.conflicts import Conflicts
from kvservice.core.envelope import Envelope, decode, encode, newer, version_of
from kvservice.core.ports import Cache, Clock, Entry, Feed, Key, Store
from kvservice.errors import CacheUnavailable, InvalidRequest, OutcomeUnknown, Unavailable
from kvservice.telemetry import Telemetry

PAGE = 500  # entries asked for at once
WAIT_S = 5.0  # the peer may wait that long for a change; it is also how soon the lag of an idle peer is known
AT_ONCE = 32  # entries brought in together
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
EARLY_PAUSE_S = 0.5  # between two looks whether our clock has come up to an entry
OFFERS = 5  # tries to tell the cache; while it is away, one

log = logging.getLogger(__name__)

A = TypeVar("A")


class Relay:
    """`here`, `peer`: names of the regions. `pause`: what waits, seconds. `chance`: 0 to 1, spreads the tries."""

    def __init__(
        self,
        *,
        here: str,
        peer: str,
        feed: Feed,
        store: Store,
        cache: Cache,
        clock: Clock,
        telemetry: Telemetry,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._here = here
        self._peer = peer
        self._feed = feed
        self._store = store
        self._cache = cache
        self._clock = clock
        self._telemetry = telemetry
        self._pause = pause
        self._chance = chance
        self._conflicts = Conflicts(telemetry.conflict)
        self._place = Key("", f"relay/{here}", peer)  # a store that replicates has those of all regions
        self._place_version = 0
        self._away: set[str] = set()
        self._as_of_us = clock.now_us()
        telemetry.watch_relay(peer, self._lag_s)

    async def run(self) -> NoReturn:
        """Until it is cancelled; nothing else ends it."""
        cursor = await self._stored_cursor()
        log.info("relay_started", extra={"peer": self._peer, "cursor": cursor})
        while True:
            cursor = await self.follow(cursor)

    async def follow(self, cursor: str) -> str:
        """Brings in one page of the feed -> where the next one begins."""
        try:
            page = await self._until_done("peer", lambda: self._feed.read(cursor, limit=PAGE, wait_s=WAIT_S))
        except InvalidRequest as error:
            return await self._begin_anew(cursor, error)
        if page.lost:
            self._note_lost(cursor, "the peer no longer keeps what came next")
        latest = self._latest(page.entries)
        await self._bring_in_all([Entry(key, envelope) for key, envelope in latest.items()])
        self._as_of_us = version_of(page.entries[-1].envelope) if page.entries else self._clock.now_us()
        if page.entries or page.lost:
            await self._store_cursor(page.cursor)
        return page.cursor

    def _latest(self, entries: Sequence[Entry]) -> dict[Key, bytes]:
        """An older entry of the same record only adds that it was lost, if it was."""
        latest: dict[Key, bytes] = {}
        for key, envelope in entries:
            if self._store.replicates and key in latest:
                self._conflicts.meet(key, envelope, latest[key])
            latest[key] = envelope
        return latest

    async def _bring_in_all(self, entries: Sequence[Entry]) -> None:
        for begin in range(0, len(entries), AT_ONCE):
            async with asyncio.TaskGroup() as tasks:
                for entry in entries[begin : begin + AT_ONCE]:
                    tasks.create_task(self._bring_in(entry))

    async def _bring_in(self, entry: Entry) -> None:
        await self._until_due(entry)
        newest = await self._until_done("store", lambda: self._write(entry))
        is_told = await self._tell_cache(entry.key, newest)
        self._telemetry.relay_entry(self._peer, "applied" if is_told else "uncached")

    async def _until_due(self, entry: Entry) -> None:
        """A version from the far future would hide what is written here until then."""
        version = version_of(entry.envelope)
        if self._clock.accepts(version):
            return
        self._telemetry.relay_entry(self._peer, "early")
        ahead_s = (version - self._clock.now_us()) / 1e6
        log.warning("relay_entry_early", extra={"peer": self._peer, **entry.key._asdict(), "ahead_s": ahead_s})
        while not self._clock.accepts(version):
            await self._pause(EARLY_PAUSE_S)

    async def _write(self, entry: Entry) -> bytes:
        """-> the newest envelope that is known here. A store of this region alone meets conflicts itself; in one that
        replicates, the other write may be there."""
        if not self._store.replicates:
            await self._store.put(entry.key, entry.envelope, announce=False)
        present = await self._store.read(entry.key)
        if present is None:
            return entry.envelope
        if self._store.replicates and present != entry.envelope:
            self._conflicts.meet(entry.key, entry.envelope, present)
        return present if newer(present, entry.envelope) else entry.envelope

    async def _tell_cache(self, key: Key, envelope: bytes) -> bool:
        """While the cache is away entries pass by it: waiting for it would hold up the store."""
        tries = 1 if "cache" in self._away else OFFERS
        while True:
            try:
                await self._cache.offer(key, envelope, announce=False)
            except CacheUnavailable as error:
                tries -= 1
                if not tries:
                    self._note_away("cache", error)
                    return False
                await self._pause(FIRST_PAUSE_S)
            else:
                self._note_back("cache")
                return True

    async def _stored_cursor(self) -> str:
        stored = await self._until_done("store", lambda: self._store.read(self._place))
        if stored is None:
            return ""
        self._place_version = version_of(stored)
        return decode(stored).payload.decode()

    async def _store_cursor(self, cursor: str) -> None:
        self._place_version = max(self._clock.now_us(), self._place_version + 1)
        place = encode(Envelope(self._place_version, self._here, "text/plain", cursor.encode()))
        await self._until_done("store", lambda: self._store.put(self._place, place, announce=False))

    async def _until_done(self, who: str, action: Callable[[], Awaitable[A]]) -> A:
        """Tries again and again: all actions may be done twice."""
        longest_s = FIRST_PAUSE_S
        while True:
            try:
                answer = await action()
            except (Unavailable, OutcomeUnknown) as error:
                self._telemetry.relay_error(self._peer, who)
                self._note_away(who, error)
                await self._pause(longest_s * (1 + self._chance()) / 2)
                longest_s = min(2 * longest_s, LONGEST_PAUSE_S)
            else:
                self._note_back(who)
                return answer

    async def _begin_anew(self, cursor: str, error: InvalidRequest) -> str:
        """A feed of another kind than the one that the cursor is of; one that refuses even the beginning is away."""
        if cursor:
            self._note_lost(cursor, error)
        else:
            self._telemetry.relay_error(self._peer, "peer")
            self._note_away("peer", error)
            await self._pause(LONGEST_PAUSE_S)
        return ""

    def _lag_s(self) -> float:
        return max(0.0, (self._clock.now_us() - self._as_of_us) / 1e6)

    def _note_lost(self, cursor: str, why: object) -> None:
        self._telemetry.relay_lost(self._peer)
        log.warning("relay_lost", extra={"peer": self._peer, "cursor": cursor, "why": str(why)})

    def _note_away(self, who: str, error: Exception) -> None:
        if who not in self._away:
            self._away.add(who)
            log.warning(f"relay_{who}_away", extra={"peer": self._peer, "error": str(error)})

    def _note_back(self, who: str) -> None:
        if who in self._away:
            self._away.discard(who)
            log.info(f"relay_{who}_back", extra={"peer": self._peer})

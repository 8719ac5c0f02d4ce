"""The change feed that the cache's shards keep: one stream each, bounded, appended by set-if-newer itself.

A cursor says for each shard where to go on: shard:epoch-number, comma between them. Numbers have no gaps, so a gap is
a loss; a shard without its memory has another epoch, and all of its entries are read anew.
"""

import asyncio
import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from redis.exceptions import RedisError

from kvservice.cache.entry import EPOCH, FEED, key_of
from kvservice.cache.scripts import READ_FEED
from kvservice.cache.shard import connect
from kvservice.cache.shards import shard_name
from kvservice.core.ports import Entry, FeedPage
from kvservice.errors import InvalidRequest, Unavailable

TIMEOUT_S = 1.0  # of one answer: nobody's request waits for it
PAGE_BYTES = 4 * 2**20  # of envelopes; the last entry may go beyond it
CONNECTIONS = 64  # readers of this pod at once, half of them waiting
_PLACE = re.compile(r"([0-9a-f]{8}):([0-9]{1,19})-([0-9]{1,19})")


class _Place(NamedTuple):
    """Of an entry in a shard's stream: its id."""

    epoch: int
    number: int


class _News(NamedTuple):
    """What a shard has after a place. `lost`: not all that there was."""

    entries: list[tuple[_Place, Entry | None]]
    lost: bool


class RedisFeed:
    """An implementation of `kvservice.core.ports.Feed`. Pages are bounded in bytes, too."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._streams = {blake2b(shard_name(url), digest_size=4).hexdigest(): _Stream(url) for url in urls}
        self._turn = 0

    async def read(self, cursor: str, *, limit: int, wait_s: float) -> FeedPage:
        """A shard that is away keeps its place in the cursor. Errors: InvalidRequest for a cursor that is none;
        Unavailable if all shards are away."""
        page = await self._page(cursor, limit)
        if page.entries or page.lost or wait_s <= 0:
            return page
        await self._wait(_places(page.cursor), wait_s)
        return await self._page(page.cursor, limit)

    async def close(self) -> None:
        for stream in self._streams.values():
            await stream.close()

    async def _page(self, cursor: str, limit: int) -> FeedPage:
        places = {name: place for name, place in _places(cursor).items() if name in self._streams}
        self._turn += 1  # another shard is first each time: one that has much leaves room for the others
        first = self._turn % len(self._streams)
        names = [*self._streams][first:] + [*self._streams][:first]
        shards = await asyncio.gather(*(self._streams[name].read(places.get(name), limit) for name in names))
        if not any(shards):
            raise Unavailable("no shard of the cache answers, and they keep the change feed; try again later")
        entries: list[Entry] = []
        size, lost = 0, False
        for name, news in zip(names, shards, strict=True):
            if news is None:
                continue
            if news.lost:
                lost = True
                places.pop(name, None)
            for place, entry in news.entries:
                if len(entries) >= limit or size >= PAGE_BYTES:
                    break
                places[name] = place
                if entry is not None:
                    entries.append(entry)
                    size += len(entry.envelope)
        return FeedPage(entries, _cursor(places), lost and bool(cursor))

    async def _wait(self, places: dict[str, _Place], wait_s: float) -> None:
        """Until one of the shards has something."""
        waits = [asyncio.create_task(stream.wait(places.get(name), wait_s)) for name, stream in self._streams.items()]
        try:
            await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


class _Stream:
    """A shard's."""

    def __init__(self, url: str) -> None:
        self._redis = connect(url, timeout_s=None, connections=CONNECTIONS)
        self._read = self._redis.register_script(READ_FEED)

    async def read(self, after: _Place | None, limit: int) -> _News | None:
        """None: the shard is away."""
        bounds = [limit + 1, PAGE_BYTES]  # one of them may be the epoch's first, which is empty
        try:
            async with asyncio.timeout(TIMEOUT_S):
                epoch, found = await self._read([FEED, EPOCH], [_id(after), *bounds])
                if after is not None and (epoch is None or int(epoch) != after.epoch):
                    _, found = await self._read([FEED, EPOCH], [_id(None), *bounds])
                    return _News([_parsed(*each) for each in found], lost=True)
        except (RedisError, OSError):
            return None
        entries = [_parsed(*each) for each in found]
        next_number = 1 if after is None else after.number + 1
        return _News(entries, lost=bool(entries) and entries[0][0].number != next_number)

    async def wait(self, after: _Place | None, wait_s: float) -> None:
        """A shard that is away is waited for in vain."""
        try:
            await self._redis.xread({FEED: _id(after)}, count=1, block=max(round(wait_s * 1000), 1))
        except (RedisError, OSError):
            await asyncio.sleep(wait_s)

    async def close(self) -> None:
        await self._redis.aclose()


def _id(place: _Place | None) -> str:
    return "0-0" if place is None else f"{place.epoch}-{place.number}"


def _parsed(id_: bytes, fields: list[bytes]) -> tuple[_Place, Entry | None]:
    """`fields`: entry, its name, envelope, its bytes. No name: the epoch's first."""
    place = _Place(*map(int, id_.split(b"-")))
    return place, Entry(key_of(fields[1]), fields[3]) if fields[1] else None


def _cursor(places: dict[str, _Place]) -> str:
    return ",".join(f"{name}:{_id(place)}" for name, place in sorted(places.items()))


def _places(cursor: str) -> dict[str, _Place]:
    places = {}
    for part in cursor.split(",") if cursor else ():
        found = _PLACE.fullmatch(part)
        if found is None:
            raise InvalidRequest(f"{cursor[:80]!r} is no cursor of this feed; send `next` as it was received, or none")
        places[found[1]] = _Place(int(found[2]), int(found[3]))
    return places

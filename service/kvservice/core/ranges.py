"""Ranges: an id's items in the order of their names, page by page, from the store at quorum.
`kvservice.core.records` is the door."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from kvservice.core.envelope import Envelope, decode, version_of
from kvservice.core.namespaces import Elsewhere, Namespaces
from kvservice.core.ports import Clock, Key, Row, Store
from kvservice.core.reads import POLL_S
from kvservice.core.request import Consistency, Context
from kvservice.core.session import hash_of
from kvservice.errors import DeadlineExceeded, SessionNotSatisfied

PAGE_BYTES = 2**20  # of values; one that is larger comes alone
CHUNK = 128  # rows asked for at once
LOOKED_AT = 4096  # rows of an id, when what the session saw elsewhere must be found among them


class Listed(NamedTuple):
    """`after`: the last item looked at, if there may be more."""

    items: list[tuple[str, Envelope]]
    after: str | None


class Ranges:
    def __init__(self, *, store: Store, clock: Clock, namespaces: Namespaces, random: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._namespaces = namespaces
        self._random = random

    async def items(self, namespace: str, id_: str, *, prefix: str, after: str, limit: int, context: Context) -> Listed:
        elsewhere = self._namespaces.of(namespace).session_elsewhere
        context.deadline.check()
        if context.consistency is Consistency.SESSION:
            await self._satisfy(namespace, id_, elsewhere, context)
        page = _Page(limit, after, self._clock.now_us())
        with suppress(TimeoutError):
            async with asyncio.timeout_at(context.deadline.answer_by_s()):
                await self._fill(page, namespace, id_, prefix, context)
        if not page.is_full and not page.is_last and page.after == after:
            raise DeadlineExceeded("the store did not answer by the deadline; ask again, or allow more time")
        return Listed(page.items, None if page.is_last else page.after)

    async def _fill(self, page: "_Page", namespace: str, id_: str, prefix: str, context: Context) -> None:
        limit = min(page.limit + 1, CHUNK)  # one more tells whether there is more
        while True:
            rows, more = await self._store.scan(
                namespace, id_, prefix=prefix, after=page.after, limit=limit, max_bytes=PAGE_BYTES
            )
            for row in rows:
                if not page.takes(row):
                    return
                if context.session.is_carried:
                    context.session.saw(Key(namespace, id_, row.item), version_of(row.envelope))
            if not more:
                page.is_last = True
                return
            limit = CHUNK

    async def _satisfy(self, namespace: str, id_: str, elsewhere: Elsewhere, context: Context) -> None:
        """Waits, refuses or marks, as the policy says, while this region may lack items that the session saw."""
        lacking = context.session.items_elsewhere(namespace, id_)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(context.deadline.answer_by_s()):
                while lacking and (lacking := await self._lacking(namespace, id_, lacking)):
                    if elsewhere is not Elsewhere.WAIT:
                        break
                    await asyncio.sleep(POLL_S * (0.5 + self._random()))
        if lacking == {}:
            return
        if elsewhere is not Elsewhere.MARK:
            raise SessionNotSatisfied(
                f"this region may lack items of {id_!r} that the session has seen in another; "
                "try again, ask there, or take what is here with KV-Consistency: quorum"
            )
        context.session.is_satisfied = False

    async def _lacking(self, namespace: str, id_: str, wanted: Mapping[bytes, int]) -> dict[bytes, int]:
        """Those of the wanted that are not here. The session knows hashes only, so all items are looked through."""
        here: dict[bytes, int] = {}
        after, more = "", True
        while more and len(here) < LOOKED_AT:
            rows, more = await self._store.scan(
                namespace, id_, prefix="", after=after, limit=CHUNK, max_bytes=PAGE_BYTES
            )
            here |= {hash_of(Key(namespace, id_, row.item)): version_of(row.envelope) for row in rows}
            after = rows[-1].item if rows else after
        return {hash_: version for hash_, version in wanted.items() if here.get(hash_, 0) < version}


class _Page:
    def __init__(self, limit: int, after: str, now_us: int) -> None:
        self.limit = limit
        self.after = after
        self.items: list[tuple[str, Envelope]] = []
        self.is_full = False
        self.is_last = False
        self._now_us = now_us
        self._room = PAGE_BYTES

    def takes(self, row: Row) -> bool:
        """Whether the row has been dealt with; else it is for the next page."""
        envelope = decode(row.envelope)
        if envelope.is_live(self._now_us):
            size = len(envelope.payload)
            self.is_full = len(self.items) == self.limit or bool(self.items and size > self._room)
            if self.is_full:
                return False
            self.items.append((row.item, envelope))
            self._room -= size
        self.after = row.item
        return True

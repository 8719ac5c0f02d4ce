"""Conditional writes: lightweight transactions among the replicas of this datacenter.

A receipt is a row beside the record's, in the same partition, so that one transaction takes both. Its item begins with
NUL, as no other does, so receipts come before all items.

A write whose answer is lost was *sent*: it may have happened, or may yet. The next serial read tells; or the same write
is sent again, and then only one of the two can happen, as versions do not come back.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum, auto
from typing import NamedTuple

from kvservice.core.clock import system_us
from kvservice.core.envelope import decode, version_of
from kvservice.core.ports import Change, Decide, Key
from kvservice.errors import OutcomeUnknown, StoreBusy, StoreUnavailable, Unavailable
from kvservice.store.cassandra.requests import AnswerLost, How, Requests

TIME_S = 9.0  # for all attempts together
PAUSE_S = (0.005, 0.2)  # before each but the first: at most, from the one to the other
KEEP_S = 60  # longer than its envelope says a cell is kept: clocks differ, and requests take time


class Present(NamedTuple):
    envelope: bytes | None
    receipt: bytes | None


class Fate(Enum):
    APPLIED = auto()
    OPEN = auto()
    """What was there still is: it has not happened, and may yet."""
    NEVER = auto()
    UNKNOWN = auto()


class Sent(NamedTuple):
    """A write whose answer was lost: `change`, on condition that `over` was there."""

    over: Present
    change: Change

    def fate(self, present: Present) -> Fate:
        """What a later serial read says of it."""
        envelope, receipt = self.change
        if present.receipt == receipt if receipt is not None else present.envelope == envelope:
            return Fate.APPLIED
        if present == self.over:
            return Fate.OPEN
        # Another one has written. A receipt of ours would still be there; a record of ours had a newer one over it.
        if receipt is not None or not envelope or not present.envelope:
            return Fate.NEVER
        return Fate.NEVER if version_of(present.envelope) < version_of(envelope) else Fate.UNKNOWN


class Update:
    """One `Store.update` under way."""

    def __init__(self, requests: Requests, key: Key, decide: Decide, token: str | None) -> None:
        self._requests = requests
        self._key = key
        self._receipt_key = receipt_key(key, token or "")  # without a token, that of a row that is never there
        self._decide = decide
        self._sent: Sent | None = None

    async def run(self) -> None:
        failure: Unavailable = StoreBusy(f"{self._key.id!r} is written by others all the time; try again later")
        try:
            for pause_s in _pauses():
                await asyncio.sleep(pause_s)
                if await self._attempt():
                    return
        except StoreUnavailable as error:
            failure = error
        if self._sent:
            raise OutcomeUnknown(f"the write may have happened ({failure}); read the record to see") from failure
        raise failure

    async def _attempt(self) -> bool:
        """Whether it is done. Raises StoreUnavailable."""
        present = await self._present()
        fate = self._sent.fate(present) if self._sent else Fate.NEVER
        if fate is Fate.APPLIED:
            return True
        if fate is Fate.UNKNOWN:
            raise StoreUnavailable("others have written since")
        if fate is Fate.NEVER:
            self._sent = None
        change = self._sent.change if self._sent else self._decide(*present)
        if change == Change():
            return True
        try:
            return await self._swap(present, change)
        except AnswerLost:
            self._sent = Sent(present, change)
            return False

    async def _present(self) -> Present:
        """Record and receipt as they are, after all that was under way: a serial read."""
        rows = await self._requests.repeat("present", (*self._key, self._receipt_key.item), How.SERIAL)
        found = {item: (envelope, receipt) for item, envelope, receipt in rows}
        envelope, _ = found.get(self._key.item, (None, None))
        _, receipt = found.get(self._receipt_key.item, (None, None))
        return Present(envelope, receipt)

    async def _swap(self, over: Present, change: Change) -> bool:
        """Whether `over` was there, and the change was made. Raises AnswerLost."""
        envelope: tuple[object, ...] = ()
        receipt: tuple[object, ...] = ()
        if change.envelope is not None:
            envelope = (ttl_s(change.envelope), change.envelope, *self._key, over.envelope)
        if change.receipt is not None:
            receipt = (change.receipt, *self._receipt_key, over.receipt)
        name = "swap_both" if envelope and receipt else "swap" if envelope else "swap_receipt"
        return bool((await self._requests.once(name, envelope + receipt, How.CONDITIONAL))[0][0])


async def claim(requests: Requests, key: Key, token: str, receipt: bytes) -> bytes:
    """As `Store.claim`. A lost answer needs no settling: what stands the next time is told, whosever it is."""
    for pause_s in _pauses():
        await asyncio.sleep(pause_s)
        with suppress(AnswerLost):
            values = (receipt, *receipt_key(key, token), None)
            applied, *there = (await requests.once("swap_receipt", values, How.CONDITIONAL))[0]
            return receipt if applied else bytes(there[-1])
    raise StoreUnavailable("the store cannot note the Idempotency-Key, so nothing was written; try again")


def receipt_key(key: Key, token: str) -> Key:
    return Key(key.namespace, key.id, "\0" + token)


def ttl_s(envelope: bytes) -> int:
    """How long the store keeps its cell; 0 is for ever."""
    expires_us = decode(envelope).expires_us
    return expires_us and KEEP_S + max(0, expires_us - system_us()) // 1_000_000 + 1


def _pauses() -> Iterator[float]:
    """Seconds before each attempt, while there is time."""
    loop = asyncio.get_running_loop()
    end_s, longest_s = loop.time() + TIME_S, PAUSE_S[0]
    yield 0
    while loop.time() < end_s:
        yield random.uniform(0, longest_s)  # noqa: S311 so that those who met do not meet again
        longest_s = min(2 * longest_s, PAUSE_S[1])

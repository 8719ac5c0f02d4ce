"""Writes of one record, in the two modes of namespaces. `kvservice.core.records` is the door.

lww: what is there is read, a version is issued above it, and put. With an Idempotency-Key a receipt is claimed in
between, and what is put is made from the receipt that was there first: a retry, or a hedge in another pod, puts the
same bytes, and a later write of somebody else survives.
cas: what is there is judged and replaced, and the receipt kept, in one atomic update of the store.

From the store's acknowledgement to the cache's no cancellation comes in between: a request whose client is gone, or
whose deadline is over, leaves no old copy behind.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, NamedTuple

from kvservice.core import idempotency
from kvservice.core.conditions import Conditions
from kvservice.core.envelope import NEVER_WRITTEN, decode, encode
from kvservice.core.filling import Filling
from kvservice.core.idempotency import Outcome, Receipt
from kvservice.core.namespaces import Namespaces, WriteMode
from kvservice.core.orders import Judge, Method, Order
from kvservice.core.ports import Change, Clock, Key, Store
from kvservice.core.request import Context
from kvservice.core.suspects import Suspects
from kvservice.errors import KvError, NotHome, OutcomeUnknown, PreconditionFailed, WrongWriteMode

RECENT = 4096  # keys whose last issued version is remembered


class Written(NamedTuple):
    """`version`: of what was written; of a delete that had nothing to do the tombstone's, 0 if there never was a
    record. `replayed`: an earlier request with the same Idempotency-Key did it."""

    version: int
    created: bool
    replayed: bool


class _Done(NamedTuple):
    """`newest`: the newest envelope that the store is known to have."""

    receipt: Receipt
    replayed: bool
    newest: bytes | None


class Writes:
    def __init__(
        self,
        *,
        store: Store,
        filling: Filling,
        suspects: Suspects,
        clock: Clock,
        namespaces: Namespaces,
        region: str,
        max_value_bytes: int,
    ) -> None:
        self._store = store
        self._filling = filling
        self._suspects = suspects
        self._clock = clock
        self._namespaces = namespaces
        self._region = region
        self._max_value_bytes = max_value_bytes
        self._issued: dict[Key, int] = {}  # oldest first
        self._under_way: set[asyncio.Task[_Done]] = set()

    async def write(self, order: Order, context: Context) -> Written:
        policy = self._namespaces.of(order.key.namespace)
        context.deadline.check()
        max_bytes = min(policy.value_bytes or self._max_value_bytes, self._max_value_bytes)
        judge = Judge(order, context, region=self._region, ttl_s=policy.ttl_s, max_bytes=max_bytes)
        match policy.write_mode:
            case WriteMode.CAS if policy.home not in ("", self._region):
                raise NotHome(order.key.namespace, policy.home)
            case WriteMode.CAS:
                done = await self._kept(order.key, self._update(judge))
            case WriteMode.LWW:
                done = await self._plain(judge)
        outcome, version = done.receipt.outcome, done.receipt.envelope.version
        if outcome is Outcome.FAILED:
            raise PreconditionFailed(version or None)
        context.session.saw(order.key, version, is_proven=not done.replayed)
        return Written(version, outcome is Outcome.CREATED, done.replayed)

    async def close(self) -> None:
        """Waits for the writes whose requests have gone."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _plain(self, judge: Judge) -> _Done:
        key = judge.order.key
        if judge.order.method is Method.PATCH or judge.context.conditions != Conditions():
            raise WrongWriteMode(
                f"namespace {key.namespace!r} takes plain writes (writeMode lww), no PATCH, If-Match or If-None-Match; "
                "write the value whole and without conditions, or use a namespace with writeMode cas"
            )
        stored = await self._store.read(key)
        present = None if stored is None else decode(stored)
        receipt = judge.receipt(present, lambda highest: self._issue(key, highest), self._clock.now_us())
        return await self._kept(key, self._put(judge, receipt, stored))

    def _issue(self, key: Key, highest: int) -> int:
        """Above what this pod issued for the key a moment ago, too: of two writes at once neither finds the other."""
        version = self._clock.issue(max(highest, self._issued.pop(key, NEVER_WRITTEN)))
        self._issued[key] = version
        if len(self._issued) > RECENT:
            del self._issued[next(iter(self._issued))]
        return version

    async def _put(self, judge: Judge, receipt: Receipt, stored: bytes | None) -> _Done:
        key, token = judge.order.key, judge.context.idempotency_key
        replayed = False
        if token is not None:
            own = idempotency.encode(receipt)
            kept = await self._store.claim(key, token, own)
            receipt, replayed = idempotency.same(kept, judge.fingerprint), kept != own
        if receipt.outcome is Outcome.NOTHING:
            return _Done(receipt, replayed, stored)
        envelope = encode(judge.envelope(receipt, present=None))
        await self._store.put(key, envelope)
        if replayed:  # somebody may have written since, and a cache that has forgotten that must not get this one
            envelope = await self._store.read(key) or envelope
        return _Done(receipt, replayed, envelope)

    async def _update(self, judge: Judge) -> _Done:
        decide = _Decide(judge, self._clock)
        await self._store.update(judge.order.key, decide, judge.context.idempotency_key)
        assert decide.done is not None, "a store asks before it answers"
        return decide.done

    async def _kept(self, key: Key, storing: Coroutine[Any, Any, _Done]) -> _Done:
        """Goes on when the request is cancelled."""
        task = asyncio.get_running_loop().create_task(self._published(key, storing))
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def _published(self, key: Key, storing: Coroutine[Any, Any, _Done]) -> _Done:
        """Tells the cache, also when nothing was written: a pod that died may have left it an old copy."""
        try:
            done = await storing
        except OutcomeUnknown:
            with suppress(KvError):
                await self._filling.read_store(key)  # the cache gets what there is now
            raise
        if done.newest is not None:
            self._filling.wrote(key)
            await self._suspects.publish(key, done.newest)
        return done

    def _forget(self, task: asyncio.Task[_Done]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if nobody waits for it any more


class _Decide:
    """What an update makes of a record. The store may ask more than once, and may have done what it was told without
    knowing it: then it asks with a receipt that was made here."""

    def __init__(self, judge: Judge, clock: Clock) -> None:
        self.done: _Done | None = None
        self._judge = judge
        self._clock = clock
        self._made: dict[bytes, _Done] = {}  # by receipt

    def __call__(self, stored: bytes | None, kept: bytes | None) -> Change:
        if kept is not None:
            made = self._made.get(kept) or _Done(idempotency.same(kept, self._judge.fingerprint), True, None)
            self.done = made._replace(newest=stored)
            return Change()
        present = None if stored is None else decode(stored)
        receipt = self._judge.receipt(present, self._clock.issue, self._clock.now_us())
        is_written = receipt.outcome not in (Outcome.NOTHING, Outcome.FAILED)
        envelope = encode(self._judge.envelope(receipt, present)) if is_written else None
        self.done = _Done(receipt, False, envelope or stored)
        if self._judge.context.idempotency_key is None:
            return Change(envelope)
        data = idempotency.encode(receipt)
        self._made[data] = self.done
        return Change(envelope, data)

"""A region in memory, for the tests of the use cases: pods over one store and one cache, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from kvcaching import MemoryCache, MemoryStore, now_s

from kvservice.core.clock import HybridClock
from kvservice.core.conditions import Conditions
from kvservice.core.envelope import Envelope, decode, newer
from kvservice.core.filling import Filling
from kvservice.core.namespaces import Namespace, Namespaces, WriteMode
from kvservice.core.ports import Change, Decide, Key, Page, Row
from kvservice.core.records import Records
from kvservice.core.request import Consistency, Context, Deadline
from kvservice.core.session import Session, Sessions
from kvservice.core.suspects import Suspects

START_US = 1_764_000_000_000_000
PLAIN, CAS = Key("plain", "id"), Key("cas", "id")
POLICIES = (Namespace(name="plain", write_mode=WriteMode.LWW), Namespace(name="cas", write_mode=WriteMode.CAS))


def now_us() -> int:
    """The loop's time, on everybody's clock."""
    return START_US + round(now_s() * 1e6)


@dataclass
class WholeStore(MemoryStore):
    """With updates, receipts and scans. `writes`: how many changed something. `lose_answers`: an update asks once more,
    as one whose answer was lost and who finds what it has done."""

    receipts: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    writes: int = 0
    lose_answers: bool = False

    async def put(self, key: Key, envelope: bytes, *, announce: bool = True) -> None:
        await self.pause()
        if newer(envelope, self.envelopes.get(key, b"")):
            self.envelopes[key] = envelope
            self.writes += 1
        await self.pause()

    async def update(self, key: Key, decide: Decide, token: str | None = None) -> None:
        await self.pause()
        for _ in range(2 if self.lose_answers else 1):
            change = decide(self.envelopes.get(key), self._receipt(key, token))
            self._change(key, change, token)
        await self.pause()

    async def claim(self, key: Key, token: str, receipt: bytes) -> bytes:
        await self.pause()
        kept = self.receipts.setdefault((key.namespace, key.id, token), receipt)
        await self.pause()
        return kept

    async def scan(self, namespace: str, id_: str, *, prefix: str, after: str, limit: int, max_bytes: int) -> Page:
        await self.pause()
        mine = {key.item: data for key, data in self.envelopes.items() if key[:2] == (namespace, id_) and key.item}
        names = sorted((name for name in mine if name.startswith(prefix) and name > after), key=str.encode)
        rows: list[Row] = []
        for name in names[:limit]:
            max_bytes -= len(mine[name])
            if rows and max_bytes < 0:
                break
            rows.append(Row(name, mine[name]))
        return Page(rows, len(rows) < len(names))

    def _receipt(self, key: Key, token: str | None) -> bytes | None:
        return None if token is None else self.receipts.get((key.namespace, key.id, token))

    def _change(self, key: Key, change: Change, token: str | None) -> None:
        if change.envelope is not None:
            self.envelopes[key] = change.envelope
            self.writes += 1
        if change.receipt is not None:
            assert token is not None
            self.receipts[key.namespace, key.id, token] = change.receipt


class Pod:
    """The use cases as one pod has them. `here`: its region."""

    def __init__(
        self,
        store: WholeStore,
        cache: MemoryCache,
        *,
        here: str = "here",
        slot: int = 7,
        policies: tuple[Namespace, ...] = POLICIES,
        max_value_bytes: int = 1000,
        clock_us: Callable[[], int] = now_us,
        objection: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.store, self.cache = store, cache
        self.sessions = Sessions(b"secret", here, clock_us)
        self.clock = HybridClock(clock_us, slot, objection)
        self.suspects = Suspects(store, cache, lambda: None, now_s=now_s)
        self.filling = Filling(
            store=store,
            cache=cache,
            suspects=self.suspects,
            clock=self.clock,
            count=lambda _: None,
            random=lambda: 0.5,
            now_s=now_s,
        )
        self.records = Records(
            store=store,
            filling=self.filling,
            suspects=self.suspects,
            clock=self.clock,
            namespaces=Namespaces(policies),
            region=here,
            max_value_bytes=max_value_bytes,
            random=lambda: 0.5,
        )

    def context(
        self,
        session: str | Session | None = None,
        *,
        seconds: float = 10.0,
        token: str | None = None,
        ttl_s: int | None = None,
        consistency: Consistency = Consistency.SESSION,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Context:
        return Context(
            deadline=Deadline.after(seconds),
            session=session if isinstance(session, Session) else self.sessions.open(session),
            consistency=consistency,
            conditions=Conditions(if_match, if_none_match),
            idempotency_key=token,
            ttl_s=ttl_s,
        )

    async def value(self, key: Key, context: Context | None = None) -> bytes | None:
        found = await self.records.read(key, context or self.context())
        return None if found is None else found.envelope.payload

    def stored(self, key: Key) -> Envelope:
        return decode(self.store.envelopes[key])


def pod(**named: Any) -> Pod:
    """With a store and a cache of its own."""
    return Pod(WholeStore(), MemoryCache(), **named)


def pods(count: int) -> list[Pod]:
    """Of one region."""
    store, cache = WholeStore(), MemoryCache()
    return [Pod(store, cache, slot=slot) for slot in range(count)]


class Gate:
    """A pause that can be held: who comes to it waits until it opens."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self.met = asyncio.Event()

    def open(self) -> None:
        self._open.set()

    async def __call__(self) -> None:
        self.met.set()
        await self._open.wait()


def after(count: int, gate: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """A pause that is `gate` once, after `count` others that take no time."""
    left = count

    async def pause() -> None:
        nonlocal left
        left -= 1
        if left == -1:
            await gate()

    return pause

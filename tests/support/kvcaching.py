"""For tests around the caches: a loop in virtual time, a store and a cache in memory, and envelopes."""

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from kvservice.core.envelope import Envelope, decode, encode, newer
from kvservice.core.filling import Fetched, Filling
from kvservice.core.ports import Copy, Decide, Key, Page
from kvservice.core.suspects import Suspects
from kvservice.errors import CacheUnavailable, StoreUnavailable

KEY = Key("ns", "id")


def envelope(version: int, payload: bytes = b"", *, tombstone: bool = False, region: str = "here") -> bytes:
    return encode(Envelope(version, region, "", payload, tombstone=tombstone))


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sleeps take no time: when nothing is to be done now, it is later."""

    def __init__(self) -> None:
        self._virtual_s = 1_000.0
        super().__init__()
        selector: Any = self._selector  # type: ignore[attr-defined]
        really_select = selector.select

        def select(timeout: float | None = None) -> Any:
            assert timeout is not None, "all wait, and nothing will happen"
            self._virtual_s += timeout
            return really_select(0)

        selector.select = select

    def time(self) -> float:
        return self._virtual_s


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*arguments, **named))

    return run


def now_s() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class MemoryStore:
    """`pause`: awaited at the begin and at the end of every operation. Counts reads."""

    pause: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)
    envelopes: dict[Key, bytes] = field(default_factory=dict)
    reads: int = 0
    is_away: bool = False
    replicates: bool = False

    async def read(self, key: Key, *, quorum: bool = True) -> bytes | None:
        self.reads += 1
        await self.pause()
        if self.is_away:
            raise StoreUnavailable("away")
        found = self.envelopes.get(key)
        await self.pause()
        return found

    async def put(self, key: Key, envelope: bytes, *, announce: bool = True) -> None:
        await self.pause()
        if newer(envelope, self.envelopes.get(key, b"")):
            self.envelopes[key] = envelope
        await self.pause()

    async def update(self, key: Key, decide: Decide, token: str | None = None) -> None:
        raise NotImplementedError

    async def claim(self, key: Key, token: str, receipt: bytes) -> bytes:
        raise NotImplementedError

    async def scan(self, namespace: str, id_: str, *, prefix: str, after: str, limit: int, max_bytes: int) -> Page:
        raise NotImplementedError

    async def now_us(self) -> int | None:
        return None

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


@dataclass
class Kept:
    envelope: bytes
    asked_s: float
    cost_s: float


@dataclass
class MemoryCache:
    """In the loop's time. `fails`: names of operations that take `timeout_s` and fail; `calls`: all."""

    ttl_s: float = 60.0
    timeout_s: float = 0.05
    kept: dict[Key, Kept] = field(default_factory=dict)
    leases: dict[Key, float] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    announced: list[tuple[Key, bytes]] = field(default_factory=list)

    async def get(self, key: Key) -> Copy | None:
        await self._meet("get")
        if (kept := self.kept.get(key)) is None:
            return None
        age_s = now_s() - kept.asked_s
        return Copy(kept.envelope, age_s, self.ttl_s - age_s, kept.cost_s)

    async def lease(self, key: Key) -> bool:
        await self._meet("lease")
        if self.leases.get(key, -math.inf) > now_s():
            return False
        self.leases[key] = now_s() + 1
        return True

    async def offer(self, key: Key, envelope: bytes, *, cost_s: float = 0.0, announce: bool = False) -> None:
        await self._meet("offer")
        if key not in self.kept or not newer(self.kept[key].envelope, envelope):
            self.kept[key] = Kept(envelope, now_s() - cost_s, cost_s)
            if announce:
                self.announced.append((key, envelope))

    async def now_us(self) -> int | None:
        return None

    async def _meet(self, operation: str) -> None:
        self.calls.append(operation)
        if operation in self.fails:
            await asyncio.sleep(self.timeout_s)
            raise CacheUnavailable("away")


class SteadyClock:
    def __init__(self) -> None:
        self.highest = 2**62

    def now_us(self) -> int:
        raise NotImplementedError

    def issue(self, highest: int) -> int:
        raise NotImplementedError

    def accepts(self, version: int) -> bool:
        return version <= self.highest


class FillingPod:
    """A Filling with what is around it. `chance` is what its randomness says."""

    def __init__(self, store: Any, cache: Any, now_s: Callable[[], float] | None = None) -> None:
        self.cache = cache
        self.clock = SteadyClock()
        self.counts: dict[str, int] = {}
        self.given_up = 0
        self.chance = 0.5
        time = {} if now_s is None else {"now_s": now_s}
        self.suspects = Suspects(store, cache, self._give_up, **time)
        self.filling = Filling(
            store=store,
            cache=cache,
            suspects=self.suspects,
            clock=self.clock,
            count=self._count,
            random=lambda: self.chance,
            **time,
        )

    async def read(self, key: Key = KEY, least: int = 0) -> Fetched:
        return await self.filling.read(key, allows=lambda _, version: version >= least)

    async def value(self, key: Key = KEY, least: int = 0) -> bytes:
        return decode((await self.read(key, least)).envelope).payload

    def _count(self, event: str) -> None:
        self.counts[event] = self.counts.get(event, 0) + 1

    def _give_up(self) -> None:
        self.given_up += 1

"""What the use cases need from outside."""

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Key(NamedTuple):
    namespace: str
    id: str


class Store(Protocol):
    """Keeps the envelopes of a region: what it has acknowledged is there. Errors: StoreUnavailable, StoreBusy."""

    async def read(self, key: Key) -> bytes | None:
        """The encoded envelope (of a tombstone, too), None if the key was never written."""

    async def update(self, key: Key, decide: Callable[[bytes | None], bytes | None]) -> None:
        """Replaces what is there by what `decide` makes of it, atomically; None leaves it. What `decide` raises comes
        out, and nothing is written. `decide` is quick and has no effects: other threads may call it, more than once."""

    async def ping(self) -> None:
        """Raises unless the store can answer reads."""


class Cache(Protocol):
    """Copies of the region's envelopes. Errors: CacheUnavailable, soon: callers go on without it."""

    async def get(self, key: Key) -> bytes | None: ...

    async def offer(self, key: Key, envelope: bytes) -> None:
        """Puts the envelope in, unless the one there is as new or newer. No other way in, none out but age."""


class Clock(Protocol):
    def issue(self, highest: int) -> int: ...

    def accepts(self, version: int) -> bool: ...

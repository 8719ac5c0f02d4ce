"""Filling: the read path between cache and store."""

from collections.abc import Callable
from typing import NamedTuple

from kvservice.core.ports import Cache, Clock, Copy, Key, Store
from kvservice.core.suspects import Suspects

Allows = Callable[[Copy, int], bool]


class Fetched(NamedTuple):
    """`envelope`: `never_written()` if the store has none. `age_s`: since the store was asked; None: it was asked for
    this very request. `stale_s`: how long it has been stale; None: it is not."""

    envelope: bytes
    age_s: float | None
    stale_s: float | None


class Filling:
    """`count` is told what became of each read. `random`: 0 <= x < 1. Errors of all methods: Unavailable."""

    def __init__(
        self,
        *,
        store: Store,
        cache: Cache,
        suspects: Suspects,
        clock: Clock,
        count: Callable[[str], None],
        random: Callable[[], float],
    ) -> None:
        raise NotImplementedError

    async def read(self, key: Key, *, allows: Allows, may_be_stale: bool = True) -> Fetched:
        """The newest that may be had cheaply: a fresh copy, if `allows(copy, its version)`, else what the store has."""
        raise NotImplementedError

    async def read_store(self, key: Key, *, quorum: bool = True) -> Fetched:
        """Asks the store after this call has begun, whoever else is asking."""
        raise NotImplementedError

    def wrote(self, key: Key) -> None:
        """The store has acknowledged a write of this pod: reads that begin from now on join no earlier ones. To be
        called before the write is published."""
        raise NotImplementedError

    async def close(self) -> None:
        """Cancels what is under way in the background."""
        raise NotImplementedError

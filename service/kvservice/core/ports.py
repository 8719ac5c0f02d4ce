"""What the use cases need from outside. `envelope` is always an encoded one (`kvservice.core.envelope`)."""

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Key(NamedTuple):
    """A record: an id of a namespace, and one of its items. Item "" is the id's own value, beside its items."""

    namespace: str
    id: str
    item: str = ""


class Row(NamedTuple):
    item: str
    envelope: bytes


class Page(NamedTuple):
    """`more`: rows may follow the last one."""

    rows: list[Row]
    more: bool


class Change(NamedTuple):
    """What an update makes of a record and of its receipt; None leaves it as it is."""

    envelope: bytes | None = None
    receipt: bytes | None = None


Decide = Callable[[bytes | None, bytes | None], Change]
"""(present envelope, present receipt) -> Change. Quick and without effects: other threads may call it, more than once.
What it raises comes out of `update`, and nothing is written."""


class Store(Protocol):
    """Keeps the envelopes of a region: what it has acknowledged is there.

    A record is written by `put` only or by `update` only, never by both: its namespace says which (`write_mode`).
    Errors of all: StoreUnavailable, StoreBusy; of writes also OutcomeUnknown. Receipts are kept for 24 hours, under
    namespace and id (not item). A tombstone, and a record with an expiry, may vanish some time after its `expires_us`.
    """

    replicates: bool
    """Whether it carries writes to the other regions by itself; the relay does it for one that does not."""

    async def read(self, key: Key, *, quorum: bool = True) -> bytes | None:
        """The envelope (of a tombstone, too), None if the key was never written. With `quorum`, all that was
        acknowledged in this region is seen; without, a replica that has not heard of it may answer."""

    async def put(self, key: Key, envelope: bytes, *, announce: bool = True) -> None:
        """Writes unless what is there is `newer`: the same call twice is one write. `announce`: it is a write of this
        region, for the change feed, if the store keeps one."""

    async def update(self, key: Key, decide: Decide, token: str | None = None) -> None:
        """Replaces envelope and receipt by what `decide` makes of them, both or neither, atomically among all updates
        of the region. `token`: the Idempotency-Key whose receipt it is; None: there is no receipt to be had."""

    async def claim(self, key: Key, token: str, receipt: bytes) -> bytes:
        """The receipt of the token: this one, or the one that was there first. All of the region agree."""

    async def scan(self, namespace: str, id_: str, *, prefix: str, after: str, limit: int, max_bytes: int) -> Page:
        """Items with the prefix that come after `after`, in the order of their UTF-8 bytes, tombstones included; at
        most `limit` and, but for the first, not more than `max_bytes` of envelopes. Never item ""."""

    async def now_us(self) -> int | None:
        """The store's clock, microseconds since 1970; None if it has no clock but this machine's."""

    async def ping(self) -> None:
        """Raises unless the store can answer reads."""

    async def close(self) -> None:
        """Waits for what is under way."""


class Copy(NamedTuple):
    """A cached envelope. `age_s`: since the store was asked. `fresh_s`: until it is stale; negative: since then.
    `cost_s`: what asking the store took."""

    envelope: bytes
    age_s: float
    fresh_s: float
    cost_s: float


class Cache(Protocol):
    """Copies of the region's envelopes. Errors: CacheUnavailable, soon: callers go on without it."""

    async def get(self, key: Key) -> Copy | None: ...

    async def lease(self, key: Key) -> bool:
        """Whether the caller is the one of the region that shall fill this key now."""

    async def offer(self, key: Key, envelope: bytes, *, cost_s: float = 0.0, announce: bool = False) -> None:
        """Puts the envelope in, unless the one there is `newer`; the same one is renewed. No other way in, none out
        but age. `announce`: it is a write of this region, and goes into the change feed that the cache keeps."""

    async def now_us(self) -> int | None:
        """The cache's clock, None if there is no cache."""


class Entry(NamedTuple):
    key: Key
    envelope: bytes


class FeedPage(NamedTuple):
    """`cursor` is where to go on; `lost`: entries after the cursor asked for are no longer kept."""

    entries: list[Entry]
    cursor: str
    lost: bool


class Feed(Protocol):
    """What this region has written, in an order in which the last entry of a record is its newest write here."""

    async def read(self, cursor: str, *, limit: int, wait_s: float) -> FeedPage:
        """Entries after the cursor ("": the oldest kept); waits for one if there is none. Errors: InvalidRequest for
        a cursor that is none, Unavailable."""


class Clock(Protocol):
    def now_us(self) -> int: ...

    def issue(self, highest: int) -> int:
        """A version above `highest`. Raises ClockSkew."""

    def accepts(self, version: int) -> bool: ...

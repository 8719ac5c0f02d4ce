"""What goes in and what comes out: records, writes, options. Values are bytes, versions are numbers to be compared
for equality only."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict

OCTETS = "application/octet-stream"

Consistency = Literal["one", "session", "quorum"]
Priority = Literal["low", "normal", "high"]


class ReadOptions(TypedDict, total=False):
    """`deadline_s`: for the whole call, all of its attempts included; the client's by default."""

    consistency: Consistency
    priority: Priority
    deadline_s: float


class WriteOptions(TypedDict, total=False):
    """`idempotency_key`: 1 to 200 visible ASCII characters; one is made for each call by default. Give your own to be
    able to repeat the call, and have one write, after your process has died."""

    priority: Priority
    deadline_s: float
    idempotency_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """All of a record but its value. `region`: who answered. `age_s`: since the cache asked the store, None: the
    answer is the store's. `stale_s`: how long it has been beyond that cache's freshness, None: it is fresh. `ttl_s`:
    seconds left, None: for ever. `session_satisfied`: False if the region has not got what the session saw elsewhere,
    and the namespace says to answer nevertheless."""

    content_type: str
    version: int
    region: str
    age_s: int | None = None
    stale_s: int | None = None
    ttl_s: int | None = None
    session_satisfied: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Head):
    value: bytes

    def json(self) -> Any:
        """Raises ValueError if the value is no JSON."""
        return json.loads(self.value)


class Written(NamedTuple):
    """`version`: None where the service names none. `replayed`: an earlier attempt had done it."""

    version: int | None
    created: bool
    replayed: bool


class Item(NamedTuple):
    """`ttl_s`: seconds left, None: for ever."""

    item: str
    value: bytes
    content_type: str
    version: int
    ttl_s: int | None


class Key(NamedTuple):
    """For `get_many`; `item` "" is the id's own value."""

    id: str
    item: str = ""


class Put(NamedTuple):
    """For `write_many`; the fields mean what the arguments of `put` do."""

    id: str
    value: bytes
    item: str = ""
    content_type: str = OCTETS
    ttl_s: int | None = None
    if_match: int | None = None
    create_only: bool = False


class Patch(NamedTuple):
    """For `write_many`; the fields mean what the arguments of `patch` do."""

    id: str
    patch: Mapping[str, Any]
    item: str = ""
    ttl_s: int | None = None
    if_match: int | None = None


class Delete(NamedTuple):
    """For `write_many`; the fields mean what the arguments of `delete` do."""

    id: str
    item: str = ""
    if_match: int | None = None


Write = Put | Patch | Delete

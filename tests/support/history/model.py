"""What a history is: operations as clients saw them, and what the regions held when all had come to rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

ABSENT = 0  # as `expects`: there is no record


class Kind(StrEnum):
    READ = "read"
    WRITE = "write"
    DELETE = "delete"


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    """Surely not done."""
    UNKNOWN = "unknown"
    """Done, or not, or still to be done."""


class Consistency(StrEnum):
    ONE = "one"
    SESSION = "session"
    QUORUM = "quorum"


class Mode(StrEnum):
    LWW = "lww"
    CAS = "cas"


@dataclass(frozen=True, slots=True)
class Operation:
    """One request. `begin`, `end`: ns of one monotonic clock.

    `value`: what was written or read; every write has one of its own, which its retries share. None: read as absent.
    `version`: written or read, as far as it is known. `token`: Idempotency-Key. `expects`: the version named by
    If-Match, or ABSENT. `created`: the write said so. `satisfied`: False if the answer said that it is behind what the
    session saw.
    """

    session: str
    region: str
    kind: Kind
    key: str
    begin: int
    end: int
    outcome: Outcome = Outcome.OK
    version: int | None = None
    value: str | None = None
    created: bool = False
    token: str | None = None
    expects: int | None = None
    consistency: Consistency = Consistency.SESSION
    satisfied: bool = True

    def __str__(self) -> str:
        what = {
            Kind.READ: f"read of {self.value or 'nothing'}",
            Kind.WRITE: f"write of {self.value}",
            Kind.DELETE: "delete",
        }[self.kind]
        version = "" if self.version is None else f" as {self.version}"
        outcome = "" if self.outcome is Outcome.OK else f", {self.outcome}"
        when = f"{self.begin / 1e6:.3f}-{self.end / 1e6:.3f} ms"
        return f"{self.session}'s {what}{version} in {self.region} ({when}{outcome})"


class Record(NamedTuple):
    version: int
    value: str


@dataclass(frozen=True, slots=True)
class History:
    """`final`: region -> key -> record; a key that is not there is absent. `cuts`: (begin, end) in ns, while no region
    heard of another. `conflicts`: how many the regions counted, None if nobody asked."""

    mode: Mode
    operations: Sequence[Operation]
    final: Mapping[str, Mapping[str, Record]]
    cuts: Sequence[tuple[int, int]] = ()
    conflicts: int | None = None


class Fault(StrEnum):
    """What can be wrong with a history."""

    LOST_WRITE = "an acknowledged or observed write is lost"
    STALE_READ = "a session does not read what it wrote"
    WENT_BACK = "a session reads something older than before"
    STALE_QUORUM = "a quorum read misses what was acknowledged before it"
    RESURRECTED = "a deleted value comes back"
    UNWRITTEN = "a value is read that nobody wrote, or not yet"
    FAILED_VISIBLE = "the value of a failed write is read"
    MIXED = "a value has another write's version"
    DUPLICATE_VERSION = "two writes share a version"
    DOUBLE_APPLY = "one write has two versions"
    HIDDEN = "a later write has the lower version, so nobody sees it"
    LOST_UPDATE = "a conditional write replaced something else than it named"
    DIVERGED = "regions differ at the end"
    WRONG_WINNER = "another region's older write won"
    UNCOUNTED = "conflicts were not counted"


@dataclass(frozen=True, slots=True)
class Violation:
    fault: Fault
    key: str
    sentence: str
    operations: tuple[Operation, ...]

    def __str__(self) -> str:
        return f"{self.key}: {self.fault}: {self.sentence}"

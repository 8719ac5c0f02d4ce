"""Seeded bugs: each changes a method or two of the simulated service, as a plausible mistake would."""

from collections.abc import Generator
from typing import NamedTuple

from history.generate import (
    EPOCH_US,
    NOTHING,
    SOMETIMES,
    STEP,
    Envelope,
    Pod,
    Process,
    Refused,
    Region,
    Session,
    Wanted,
    World,
)
from history.model import Consistency, Fault, Mode


class LostAcknowledgement(World):
    """Now and then a write is acknowledged that no replica has."""

    def put(self, region: Region, key: str, envelope: Envelope) -> Process:
        if not self.happens(SOMETIMES):
            yield from super().put(region, key, envelope)

    def offer(self, region: Region, key: str, envelope: Envelope) -> None:
        pass


class SessionForgetsItsWrites(World):
    """Cached copies are trusted, whatever the session wrote."""

    def allows_copy(self, session: Session, key: str, version: int) -> bool:
        return True

    def publish(self, region: Region, key: str, envelope: Envelope) -> Process:
        """The cache hears of it after the answer."""
        self.start(self.refill(region, key, envelope))
        yield 1


class SessionForgetsItsReads(World):
    """Pods that ask one replica of their own, and a session that learns from writes only."""

    def look(self, session: Session, key: str) -> Process:
        wrote = session.seen.get(key)
        yield from super().look(session, key)
        if wrote:
            session.seen[key] = wrote
        else:
            session.seen.pop(key, None)

    def stored(self, region: Region, key: str) -> Generator[int, None, Envelope]:
        yield self.takes(300)
        return self.chance.choice(region.replicas).get(key, NOTHING)


class TombstonesForgotten(World):
    """A tombstone is purged at once, so that anything older that arrives looks new."""

    def apply(self, replica: dict[str, Envelope], key: str, envelope: Envelope) -> None:
        if replica.get(key, envelope).value is None:
            replica[key] = envelope
        else:
            super().apply(replica, key, envelope)


class SkewedClock(World):
    """One pod is 5 s ahead, and versions are the time, whatever is there."""

    def issue(self, pod: Pod, highest: int) -> int:
        pod.last = max((EPOCH_US + self.now + (5_000_000 if pod.slot == 0 else 0)) // STEP, pod.last + 1)
        return pod.last * STEP + pod.slot


class MixedColumns(World):
    """Value and version are cells of their own: of two writes the one's value meets the other's version."""

    def apply(self, replica: dict[str, Envelope], key: str, envelope: Envelope) -> None:
        present = replica.get(key, NOTHING)
        super().apply(replica, key, envelope)
        if present.value and envelope.value and present.version > envelope.version:
            replica[key] = present._replace(value=max(present.value, envelope.value))


class RetryIsANewWrite(World):
    """Nobody remembers what the first attempt was given."""

    def claim(self, session: Session, region: Region, wanted: Wanted, present: Envelope) -> Envelope:
        return super().claim(session, region, wanted._replace(token=None), present)


class NothingIsSentAgain(World):
    """What a cut link lost stays lost."""

    def replicate(self, region: Region, key: str, envelope: Envelope) -> Process:
        yield self.takes(20_000)
        if not any(begin <= self.now < end for begin, end in self.cuts):
            self.receive(region, key, envelope)


class CheckThenAct(World):
    """The condition is checked, and then, some time later, the write is done."""

    def update(self, session: Session, region: Region, wanted: Wanted) -> Generator[int, None, tuple[Envelope, bool]]:
        self.admit(wanted, self.newest(region, wanted.key, region.replicas))
        yield self.takes(2_000)
        return (yield from super().update(session, region, wanted._replace(expects=None)))


class RefusedAndDone(World):
    """A write whose condition fails is in the cache already."""

    def admit(self, wanted: Wanted, present: Envelope) -> None:
        try:
            super().admit(wanted, present)
        except Refused:
            refused = Envelope(self.issue(self.pods["east"][0], present.version), "east", wanted.value, {})
            self.offer(self.regions[0], wanted.key, refused)
            raise


class SharedSlot(World):
    """All pods make versions of the milliseconds, with one slot."""

    def issue(self, pod: Pod, highest: int) -> int:
        return max((EPOCH_US + self.now) // 1024 * 1024, highest + 1024)


class FirstWriterWins(World):
    """Of concurrent writes the older wins, everywhere."""

    def newer(self, one: Envelope, other: Envelope) -> bool:
        if self.are_concurrent(one, other):
            return one.version < other.version
        return super().newer(one, other)


class DeleteOnWrite(World):
    """A write deletes the cached copy; readers put in what they have read, however old by then, and all trust it."""

    def allows_copy(self, session: Session, key: str, version: int) -> bool:
        return True

    def publish(self, region: Region, key: str, envelope: Envelope) -> Process:
        yield self.takes(100)
        region.cache.pop(key, None)

    def offer(self, region: Region, key: str, envelope: Envelope) -> None:
        region.cache[key] = envelope


class TokenIgnoredElsewhere(World):
    """What a session saw in another region is not looked at, and nobody says so."""

    def allows_stored(self, session: Session, region: Region, key: str, version: int) -> bool:
        return True

    def allows_copy(self, session: Session, key: str, version: int) -> bool:
        seen, where = session.seen.get(key, (0, ""))
        return version >= seen or where == "east"


class QuorumOfOne(World):
    """Reads at quorum ask one replica."""

    def read(
        self, session: Session, region: Region, key: str, consistency: Consistency
    ) -> Generator[int, None, tuple[Envelope, bool]]:
        if consistency is not Consistency.QUORUM:
            return (yield from super().read(session, region, key, consistency))
        yield self.takes(300)
        return self.chance.choice(region.replicas).get(key, NOTHING), True


class FailedAndDone(World):
    """A write is reported as failed that the store has."""

    def put(self, region: Region, key: str, envelope: Envelope) -> Process:
        if self.happens(SOMETIMES):
            self.store_everywhere(region, key, envelope)
            raise Refused
        yield from super().put(region, key, envelope)


class ConflictsUncounted(World):
    """The versions alone are compared."""

    def receive(self, region: Region, key: str, envelope: Envelope) -> None:
        super().receive(region, key, envelope)
        self.conflicts = 0


class Bug(NamedTuple):
    """`faults`: at least one of these the checker must find."""

    world: type[World]
    mode: Mode
    faults: frozenset[Fault]


def _bug(world: type[World], mode: Mode, *faults: Fault) -> Bug:
    return Bug(world, mode, frozenset(faults))


BUGS = [
    _bug(LostAcknowledgement, Mode.LWW, Fault.LOST_WRITE, Fault.STALE_READ),
    _bug(SessionForgetsItsWrites, Mode.LWW, Fault.STALE_READ),
    _bug(SessionForgetsItsReads, Mode.LWW, Fault.WENT_BACK),
    _bug(TombstonesForgotten, Mode.LWW, Fault.RESURRECTED),
    _bug(SkewedClock, Mode.LWW, Fault.HIDDEN),
    _bug(MixedColumns, Mode.LWW, Fault.MIXED),
    _bug(RetryIsANewWrite, Mode.LWW, Fault.DOUBLE_APPLY),
    _bug(RetryIsANewWrite, Mode.CAS, Fault.DOUBLE_APPLY),
    _bug(NothingIsSentAgain, Mode.LWW, Fault.DIVERGED),
    _bug(CheckThenAct, Mode.CAS, Fault.LOST_UPDATE),
    _bug(RefusedAndDone, Mode.CAS, Fault.FAILED_VISIBLE),
    _bug(FailedAndDone, Mode.LWW, Fault.FAILED_VISIBLE),
    _bug(SharedSlot, Mode.LWW, Fault.DUPLICATE_VERSION),
    _bug(FirstWriterWins, Mode.LWW, Fault.WRONG_WINNER),
    _bug(DeleteOnWrite, Mode.LWW, Fault.STALE_READ, Fault.WENT_BACK, Fault.RESURRECTED),
    _bug(TokenIgnoredElsewhere, Mode.LWW, Fault.STALE_READ, Fault.WENT_BACK),
    _bug(QuorumOfOne, Mode.LWW, Fault.STALE_QUORUM),
    _bug(ConflictsUncounted, Mode.LWW, Fault.UNCOUNTED),
]

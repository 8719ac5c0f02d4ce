"""The checker: proves what a history shows, or names the operations that contradict a promise.

A key at a time, by sorting and dictionaries. It relies on nothing but what clients saw: values tell which write was
read (each write has one of its own), versions tell the order, and of two operations the one that ended before the other
began came first. Operations that overlap, and writes whose outcome is unknown, get the benefit of the doubt.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from history.effects import Deletes, Effect, effects_of
from history.model import (
    ABSENT,
    Consistency,
    Fault,
    History,
    Kind,
    Mode,
    Operation,
    Outcome,
    Record,
    Violation,
)


def check(history: History) -> list[Violation]:
    """Every violation found; none: all promises held. Raises ValueError if two writes of a key share a value."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in history.operations:
        by_key[operation.key].append(operation)
    found: list[Violation] = []
    for key in by_key.keys() | {key for records in history.final.values() for key in records}:
        final = {region: records.get(key) for region, records in history.final.items()}
        found += _Story(key, history.mode, by_key[key], final).violations()
    return found + list(_uncounted(history))


def provable_conflicts(history: History) -> int:
    """Keys that two regions wrote inside one cut: of each, at least one conflict must have been seen."""
    proven = 0
    for begin, end in history.cuts:
        regions: dict[str, set[str]] = defaultdict(set)
        for each in history.operations:
            if _is_acknowledged_write(each) and begin <= each.begin and each.end <= end:
                regions[each.key].add(each.region)
        proven += sum(len(wrote) > 1 for wrote in regions.values())
    return proven


def _is_acknowledged_write(operation: Operation) -> bool:
    return operation.kind is Kind.WRITE and operation.outcome is Outcome.OK


def _uncounted(history: History) -> Iterator[Violation]:
    proven = provable_conflicts(history) if history.conflicts is not None else 0
    if history.conflicts is not None and history.conflicts < proven:
        sentence = f"{proven} keys were written in two regions that were cut off, {history.conflicts} were counted"
        yield Violation(Fault.UNCOUNTED, "all keys", sentence, ())


class _Floor(NamedTuple):
    """The version that somebody knows of, and from what."""

    version: int
    source: Operation


class _Floors(NamedTuple):
    session: _Floor | None
    region: _Floor | None


class _Story:
    """What happened to one key."""

    def __init__(
        self, key: str, mode: Mode, operations: Iterable[Operation], final: Mapping[str, Record | None]
    ) -> None:
        self._key = key
        self._mode = mode
        self._operations = sorted(operations, key=lambda each: each.begin)
        self._final = final
        writes = [each for each in self._operations if each.kind is not Kind.READ]
        self._reads = [each for each in self._operations if each.kind is Kind.READ and each.outcome is Outcome.OK]
        self._effects = effects_of(writes)
        self._by_attempt = {id(attempt): effect for effect in self._effects for attempt in effect.attempts}
        self._by_value: dict[str | None, Effect] = {}
        self._by_version: dict[int, Effect] = {}
        self._deletes = Deletes()
        self._found: dict[str, Violation] = {}

    def violations(self) -> Iterable[Violation]:
        self._attempts_agree()
        self._values_belong_to_versions()
        self._nobody_goes_back()
        if self._mode is Mode.CAS:
            self._updates_form_a_chain()
        self._regions_end_with_the_winner()
        return self._found.values()

    def _tell(self, fault: Fault, sentence: str, *operations: Operation) -> None:
        self._found.setdefault(sentence, Violation(fault, self._key, sentence, operations))

    # One write, one value, one version

    def _attempts_agree(self) -> None:
        for effect in self._effects:
            if not effect.is_delete and self._by_value.setdefault(effect.first.value, effect) is not effect:
                raise ValueError(f"{self._key}: two writes of {effect.first.value!r}; give each a value of its own")
            for attempt in effect.acknowledged:
                if attempt.version not in (None, effect.version):
                    both = f"{effect.told}, but also {attempt}, with one idempotency key"
                    self._tell(Fault.DOUBLE_APPLY, both, effect.told, attempt)
            if effect.version is not None:
                other = self._by_version.setdefault(effect.version, effect)
                if other is not effect:
                    both = f"{other.told} and {effect.told}"
                    self._tell(Fault.DUPLICATE_VERSION, both, other.told, effect.told)

    def _values_belong_to_versions(self) -> None:
        for read in self._reads:
            if read.value is not None and read.version is not None:
                self._belongs(Record(read.version, read.value), str(read), read)
        for region, record in self._final.items():
            if record:
                self._belongs(record, f"the end in {region} is {record.value} as {record.version}", None)

    def _belongs(self, record: Record, where: str, read: Operation | None) -> None:
        effect = self._by_value.get(record.value)
        reads = () if read is None else (read,)
        if effect is None:
            return self._tell(Fault.UNWRITTEN, f"{where}, which nobody wrote", *reads)
        write = effect.told
        if effect.failed:
            return self._tell(Fault.FAILED_VISIBLE, f"{where}, after {write}", *reads, write)
        if read and read.end < effect.first.begin:
            return self._tell(Fault.UNWRITTEN, f"{where}, before {write} had begun", read, write)
        owner = self._by_version.setdefault(record.version, effect)
        if effect.version is None and owner is effect:
            effect.version = record.version
        if effect.version == record.version:
            return None
        if owner is effect:
            return self._tell(Fault.DOUBLE_APPLY, f"{where}, but {write} had version {effect.version}", *reads, write)
        return self._tell(Fault.MIXED, f"{where}, a version that belongs to {owner.told}", *reads, write, owner.told)

    # Time only goes forward: in a session, and in a region for what is acknowledged

    def _nobody_goes_back(self) -> None:
        sessions: dict[str, _Floor] = {}
        regions: dict[str, _Floor] = {}
        known: dict[int, _Floors] = {}
        events = [(each.begin, 0, index) for index, each in enumerate(self._operations)]
        events += [(each.end, 1, index) for index, each in enumerate(self._operations) if each.outcome is Outcome.OK]
        for _, is_end, index in sorted(events):
            each = self._operations[index]
            if not is_end:
                known[id(each)] = _Floors(sessions.get(each.session), regions.get(each.region))
                self._begin(each)
                continue
            seen = self._read(each, known[id(each)]) if each.kind is Kind.READ else self._acknowledge(each, known)
            if each.consistency is not Consistency.ONE:
                _raise(sessions, each.session, seen)
            if each.kind is not Kind.READ or (self._mode is Mode.CAS and each.consistency is Consistency.QUORUM):
                _raise(regions, each.region, seen)

    def _begin(self, operation: Operation) -> None:
        effect = self._by_attempt.get(id(operation))
        if effect is None or effect.failed or effect.first is not operation:
            return
        if effect.is_delete:
            self._deletes.begin(effect)
        if effect.version is not None:
            self._deletes.overtake(operation.region, effect.version)

    def _read(self, read: Operation, floors: _Floors) -> _Floor:
        """-> what its session knows by it."""
        session, region = floors
        if session and read.satisfied and read.consistency is not Consistency.ONE and self._is_behind(read, session):
            fault = Fault.WENT_BACK if session.source.kind is Kind.READ else Fault.STALE_READ
            self._tell_behind(fault, read, session)
        elif region and read.consistency is Consistency.QUORUM and self._is_behind(read, region):
            self._tell_behind(Fault.STALE_QUORUM, read, region)
        if read.value is not None:
            return _Floor(read.version or 0, read)
        floor = session.version if session and read.satisfied else 0
        return _Floor(self._deletes.least(floor), read)

    def _is_behind(self, read: Operation, floor: _Floor) -> bool:
        if read.value is None:
            return not self._deletes.explain(floor.version)
        return read.version is not None and read.version < floor.version

    def _tell_behind(self, fault: Fault, read: Operation, floor: _Floor) -> None:
        came_back = read.value is not None and floor.source.kind is Kind.DELETE
        sentence = f"{read} began after {floor.source}"
        self._tell(Fault.RESURRECTED if came_back else fault, sentence, read, floor.source)

    def _acknowledge(self, write: Operation, known: dict[int, _Floors]) -> _Floor:
        """-> what its session, and the region, know by it. A retry has the version of its first attempt's moment."""
        effect = self._by_attempt[id(write)]
        session, region = known[id(effect.first)]
        floors = [session, region if write.region == effect.first.region else None]
        for floor in filter(None, floors):
            effect.least = max(effect.least, floor.version + 1)
            if effect.version is not None and effect.version <= floor.version:
                self._tell(Fault.HIDDEN, f"{write} began after {floor.source}", write, floor.source)
        if effect.is_delete:
            self._deletes.acknowledge(effect, write.region)
        return _Floor(effect.least if effect.version is None else effect.version, write)

    # Conditional writes replace what they name

    def _updates_form_a_chain(self) -> None:
        happened = sorted(self._by_version.items())
        before: Effect | None = None
        for _, effect in happened:
            expects = effect.told.expects
            if expects is None and effect.told.created:
                expects = ABSENT
            if before and expects is not None and not effect.failed:
                self._replaces(effect, expects, before)
            before = effect

    def _replaces(self, effect: Effect, expects: int, before: Effect) -> None:
        version = before.version or 0
        vanished = before.is_delete or self._deletes.may_hide(version)
        if version > expects and not (expects == ABSENT and vanished):
            named = expects or "nothing"
            sentence = f"{effect.told} replaced {named}, but there was {before.told}"
            self._tell(Fault.LOST_UPDATE, sentence, effect.told, before.told)

    # The end

    def _regions_end_with_the_winner(self) -> None:
        ends = set(self._final.values())
        if len(ends) > 1:
            each = "; ".join(f"{region}: {_shown(record)}" for region, record in sorted(self._final.items()))
            self._tell(Fault.DIVERGED, each)
        winner = self._winner()
        if winner is None or not ends:
            return
        best = max(ends, key=lambda record: record.version if record else 0)
        if best is None and not self._deletes.explain(winner.version):
            self._tell(Fault.LOST_WRITE, f"the end is nothing, without {winner.source}", winner.source)
        elif best is not None and best.version < winner.version:
            sentence = f"the end is {_shown(best)}, without {winner.source}"
            self._tell(self._loss(best, winner), sentence, winner.source)

    def _winner(self) -> _Floor | None:
        """The highest version that is known to have been there."""
        floors = [
            _Floor(effect.least if effect.version is None else effect.version, effect.told)
            for effect in self._effects
            if effect.acknowledged or effect.version is not None
        ]
        return max(floors, key=lambda floor: floor.version, default=None)

    def _loss(self, end: Record, winner: _Floor) -> Fault:
        if winner.source.kind is Kind.DELETE:
            return Fault.RESURRECTED
        effect = self._by_value.get(end.value)
        elsewhere = effect is not None and effect.told.region != winner.source.region
        return Fault.WRONG_WINNER if elsewhere else Fault.LOST_WRITE


def _raise(floors: dict[str, _Floor], name: str, seen: _Floor) -> None:
    if name not in floors or seen.version > floors[name].version:
        floors[name] = seen


def _shown(record: Record | None) -> str:
    return f"{record.value} as {record.version}" if record else "nothing"

"""Effects: the writes and deletes of a key as single acts, however often each was tried; and which of the deletes may
explain that a record is not there."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from history.model import Kind, Operation, Outcome


@dataclass(slots=True, eq=False)
class Effect:
    """Attempts with one idempotency key, or one without. `version`: None until an answer, or a read of the value, told
    it. Of a delete whose answer told none, `least` and `below` bound it."""

    attempts: list[Operation]
    version: int | None = None
    least: int = 0
    below: float = inf

    @property
    def first(self) -> Operation:
        return self.attempts[0]

    @property
    def acknowledged(self) -> list[Operation]:
        return [attempt for attempt in self.attempts if attempt.outcome is Outcome.OK]

    @property
    def is_delete(self) -> bool:
        return self.first.kind is Kind.DELETE

    @property
    def failed(self) -> bool:
        return all(attempt.outcome is Outcome.FAILED for attempt in self.attempts)

    @property
    def told(self) -> Operation:
        """The attempt that clients would name: one that was acknowledged, if any was."""
        return next(iter(self.acknowledged), self.first)


def effects_of(writes: Iterable[Operation]) -> list[Effect]:
    """From the writes and deletes of one key, in the order of their beginning."""
    effects: list[Effect] = []
    by_token: dict[str, Effect] = {}
    for write in writes:
        known = by_token.get(write.token) if write.token else None
        if known:
            known.attempts.append(write)
            continue
        effects.append(Effect([write]))
        if write.token:
            by_token[write.token] = effects[-1]
    for effect in effects:
        effect.version = next((each.version for each in effect.acknowledged if each.version is not None), None)
    return effects


class Deletes:
    """The deletes of a key that have begun."""

    def __init__(self) -> None:
        self._versions: list[int] = []
        self._unversioned: list[Effect] = []
        self._open: dict[str, list[Effect]] = {}

    def begin(self, effect: Effect) -> None:
        if effect.version is not None:
            insort(self._versions, effect.version)
        else:
            self._unversioned.append(effect)

    def acknowledge(self, effect: Effect, region: str) -> None:
        """From here on, writes of this region have higher versions."""
        if effect.version is None:
            self._open.setdefault(region, []).append(effect)

    def overtake(self, region: str, version: int) -> None:
        """A write of that version begins."""
        for effect in self._open.pop(region, ()):
            effect.below = min(effect.below, version)

    def explain(self, floor: int) -> bool:
        """Whether there may be no record for somebody who knows of version `floor`."""
        return floor <= 0 or bool(self._versions and self._versions[-1] >= floor) or self.may_hide(floor)

    def may_hide(self, version: int) -> bool:
        """Whether there may have been a delete after that version which nobody told the version of."""
        return any(effect.below > version for effect in self._unversioned)

    def least(self, floor: int) -> int:
        """The lowest version that an absence may have, for somebody who knows of version `floor`."""
        at = bisect_left(self._versions, floor)
        return floor if floor <= 0 or at == len(self._versions) or self.may_hide(floor) else self._versions[at]

"""Skew: whether this pod's clock may be trusted with versions. A version from a clock that is ahead would hide every
write until then, and one from a clock behind would be hidden.

The clock is compared with those of the store and the cache, every few seconds: halfway through a question it should be
what the answer says (Cristian, "Probabilistic Clock Synchronization", 1989), and the answer of the shortest round trip
is the best. One reference that agrees is enough, so that no single machine's clock stops the writes of all. Answers are
kept as distances from a clock that nobody moves: so it is seen at once if this one is moved between two looks.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from kvservice.core.clock import MAX_AHEAD_US
from kvservice.errors import KvError

PERIOD_S = 5.0
FIRST_PERIOD_S = 0.5  # while no reference has answered
FIRST_LOOKS = 4
SAMPLES = 3  # questions to each reference a look
PATIENCE_S = 1.0  # for the answers of one reference

Reference = Callable[[], Awaitable[int | None]]
log = logging.getLogger(__name__)


class _Sample(NamedTuple):
    """`distance_us`: from the clock that nobody moves to the reference's, give or take half the round trip."""

    reference: str
    distance_us: int
    round_trip_us: int


class Skew:
    """`references`: by name; each tells microseconds since 1970, None if it has no clock, and may raise KvError.
    `now_us`: the clock that is judged. `now_s`: the one that nobody moves. Until the first look this clock is right."""

    def __init__(
        self, *, references: Mapping[str, Reference], now_us: Callable[[], int], now_s: Callable[[], float]
    ) -> None:
        self._references = references
        self._now_us = now_us
        self._now_s = now_s
        self._sample = self._own()
        self._was_off = False

    def offset_s(self) -> float:
        """How far this clock is ahead of the reference that agrees with it best."""
        return self._offset_us(self._sample) / 1e6

    def objection(self) -> str | None:
        """Why no version may be made now; None: it may. Any thread may ask."""
        if not self._is_off(self._sample):
            return None
        return (
            f"this pod's clock is {self.offset_s():+.1f} s from {self._sample.reference}, at most "
            f"{MAX_AHEAD_US / 1e6} s is allowed; set the clocks right, and write in another pod meanwhile"
        )

    async def begin(self) -> None:
        """Looks until it is known how the clock is, a few times at most."""
        for _ in range(FIRST_LOOKS):
            if await self.look():
                return
            await asyncio.sleep(FIRST_PERIOD_S)

    async def watch(self) -> None:
        """Looks until cancelled."""
        period_s = PERIOD_S
        while True:
            await asyncio.sleep(period_s)
            period_s = PERIOD_S if await self.look() else FIRST_PERIOD_S

    async def look(self) -> bool:
        """Compares once. -> whether there was something to compare with: if all references that have a clock fail, what
        was found last stays."""
        answers = await asyncio.gather(*(self._best(name, ask) for name, ask in self._references.items()))
        known = [sample for sample in answers if sample is not None and sample.reference]
        if not known and None in answers:  # one that fails may have a clock
            return False
        self._sample = min(
            known or [self._own()], key=lambda sample: (self._is_off(sample), abs(self._offset_us(sample)))
        )
        if self._was_off != (is_off := self._is_off(self._sample)):
            self._was_off = is_off
            fields = {"offset_s": round(self.offset_s(), 3), "reference": self._sample.reference}
            log.warning("clock_is_off" if is_off else "clock_agrees", extra=fields)
        return True

    async def _best(self, name: str, ask: Reference) -> _Sample | None:
        """The sample of the shortest round trip; one without a name if the reference has no clock, None if it fails."""
        samples = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                for _ in range(SAMPLES):
                    asked_us = self._steady_us()
                    answer_us = await ask()
                    if answer_us is None:
                        return _Sample("", 0, 0)
                    round_trip_us = self._steady_us() - asked_us
                    samples.append(_Sample(name, answer_us - asked_us - round_trip_us // 2, round_trip_us))
        except (KvError, TimeoutError):
            pass  # whoever uses it for more than its clock tells of that
        return min(samples, key=lambda sample: sample.round_trip_us, default=None)

    def _own(self) -> _Sample:
        """Without a reference: this clock is right now, and shall not be moved far before the next look."""
        return _Sample("where it was a moment ago", self._now_us() - self._steady_us(), 0)

    def _is_off(self, sample: _Sample) -> bool:
        return abs(self._offset_us(sample)) - sample.round_trip_us // 2 > MAX_AHEAD_US

    def _offset_us(self, sample: _Sample) -> int:
        return self._now_us() - self._steady_us() - sample.distance_us

    def _steady_us(self) -> int:
        return round(self._now_s() * 1e6)

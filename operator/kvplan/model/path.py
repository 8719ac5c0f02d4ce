"""The ways of the classes through stations whose traffic is known: the law of each step, and of them in a row."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeGuard

import numpy as np

from kvplan.laws import NOTHING, Law
from kvplan.model.grid import Grid, Mass, in_a_row, mixture, of_law
from kvplan.model.visits import Traffic, span, wait
from kvplan.system import Class, Pause, Step, Visit

_SHORT = 0.03  # of a visit: waits that need no look at what they have in common
_COMMON = [  # Gauss and Hermite's places and weights of a standard normal variable
    (float(place), float(weight) / math.sqrt(2 * math.pi))
    for place, weight in zip(*np.polynomial.hermite_e.hermegauss(7), strict=True)
]


@dataclass(frozen=True, eq=False)
class Path:
    """`laws`: what is on the grid already; it grows."""

    traffics: Mapping[str, Traffic]
    grid: Grid
    laws: dict[Law, Mass]
    _waits: dict[str, Mass] = field(default_factory=dict, init=False)
    _steps: dict[Step, Mass] = field(default_factory=dict, init=False)

    def law(self, law: Law) -> Mass:
        if law not in self.laws:
            self.laws[law] = of_law(law, self.grid)
        return self.laws[law]

    def wait(self, station: str) -> Mass:
        """Of one visit; none where there is no work."""
        if station not in self._waits:
            known = self.traffics.get(station)
            self._waits[station] = wait(known, self.grid) if known else self.law(NOTHING)
        return self._waits[station]

    def copy(self, visit: Visit) -> Mass:
        """Hop, wait and service of one copy."""
        return self._after(self.wait(visit.station), visit)

    def _after(self, wait: Mass, visit: Visit) -> Mass:
        return in_a_row([wait, self.law(visit.law), self.law(visit.hop)])

    def step(self, step: Step) -> Mass:
        """Until enough copies have answered; seen alone."""
        if step not in self._steps:
            self._steps[step] = self._visited(step) if isinstance(step, Visit) else self.law(step.law)
        return self._steps[step]

    def _visited(self, visit: Visit) -> Mass:
        one = self.copy(visit)
        if visit.hedge_after is not None:
            return one.or_after(visit.hedge_after, one)
        wait = self.wait(visit.station)
        if visit.copies == 1 or wait.mean < _SHORT * one.mean:
            return one.kth(visit.needed, visit.copies)
        alike = self.traffics[visit.station].alike
        return mixture(
            [
                (weight, self._after(wait.given(common, alike), visit).kth(visit.needed, visit.copies))
                for common, weight in _COMMON
            ]
        )

    def one_try(self, each: Class) -> Mass:
        """All steps of a class, from when its latency counts."""
        steps = list(_unfolded(each))
        if not each.from_service:
            return self._in_a_row(steps)
        stay = _stay(steps, 0)
        begin = self._stayed(steps, stay, counts_first=False) if len(stay) > 1 else self.law(each.steps[0].law)
        return in_a_row([begin, self._in_a_row(steps[stay[-1] + 1 :])])

    def _in_a_row(self, steps: Sequence[Step]) -> Mass:
        masses, at = [self.law(NOTHING)], 0
        while at < len(steps):
            stay = _stay(steps, at)
            masses.append(self._stayed(steps, stay, counts_first=True) if len(stay) > 1 else self.step(steps[at]))
            at = stay[-1] + 1
        return in_a_row(masses)

    def _stayed(self, steps: Sequence[Step], stay: Sequence[int], *, counts_first: bool) -> Mass:
        """The visits that a request makes at one pool, and the gaps in between, which may hold such stays in turn."""
        gaps = [self._in_a_row(steps[a + 1 : b]) for a, b in pairwise(stay)]
        services = [self.law(steps[at].law) for at in stay]
        first = steps[stay[0]]
        if not (isinstance(first, Visit) and first.station in self.traffics):
            return in_a_row([*services, *gaps])
        known, alone = self.traffics[first.station], self.wait(first.station)
        leaves = counts_first or stay[-1] + 1 < len(steps)
        return span(known, alone, services, gaps, counts_first=counts_first, leaves=leaves)


def _unfolded(each: Class) -> Iterator[Step]:
    """The steps, with the two ways of a hop as pauses around where the time between them matters: at a pool that is
    visited again, and at a first visit from whose service the latency counts."""
    plain = [step.station for step in each.steps if is_plain(step)]
    for number, step in enumerate(each.steps):
        from_here = each.from_service and number == 0
        if is_plain(step) and step.hop != NOTHING and (from_here or plain.count(step.station) > 1):
            way = Pause("way", step.hop.scaled(0.5))
            yield from ([] if from_here else [way])
            yield replace(step, hop=NOTHING)
            yield way
        else:
            yield step


def _stay(steps: Sequence[Step], at: int) -> list[int]:
    """Where the plain visits at the same pool as the step at `at` are, from there on; itself at least."""
    first = steps[at]
    if not is_plain(first):
        return [at]
    return [
        place for place, step in enumerate(steps[at:], start=at) if is_plain(step) and step.station == first.station
    ]


def is_plain(step: Step) -> TypeGuard[Visit]:
    return isinstance(step, Visit) and step.copies == 1 and step.hedge_after is None

"""A system laid out in the memory of `events`, and what `events` asks for: draws of times by their laws, more room."""

from collections.abc import Callable, Mapping

import numpy as np

from kvplan.laws import NOTHING, Floats
from kvplan.simulate import events as e
from kvplan.simulate.arrivals import between, class_ends
from kvplan.simulate.findings import Run, apart
from kvplan.system import Balancing, Class, Pause, Step, System, Visit

_BALANCING = {
    Balancing.RANDOM: e.RANDOM,
    Balancing.ROUND_ROBIN: e.ROUND_ROBIN,
    Balancing.POWER_OF_TWO: e.POWER_OF_TWO,
    Balancing.LEAST_IN_FLIGHT: e.LEAST_IN_FLIGHT,
}
_SPARE = 1 << 14  # cells for tries and jobs at first, and half of them for events


def by_events(system: System, requests: int, first: int, random: np.random.Generator) -> Run:
    """Plays any system; the requests from number `first` on are counted."""
    memory = Memory(system, requests, first)
    memory.reals[e.ARRIVAL] = between(system).draw(random, 1)[0]
    while memory.cells[e.UNDECIDED]:
        if memory.cells[e.DRY]:
            memory.refill(random)
        else:
            memory.grow()
        e.advance(memory.cells, memory.reals)
    return memory.run(requests - first)


class Memory:
    """`cells` and `reals` are one memory, replaced when it grows."""

    def __init__(self, system: System, requests: int, first: int) -> None:
        self._system = system
        self._spare = _SPARE
        self._draws: dict[int, Callable[[np.random.Generator, int], Floats]] = {}
        self.cells = np.zeros(e.WORLD, dtype=np.int64)
        self.cells[e.FRESH] = e.WORLD
        self._lengthen(_SPARE)
        self._stations = self._add_stations()
        classes = self._add_classes()
        uniform = self._source(lambda random, size: random.random(size))
        arrivals = self._source(between(system).draw)
        self._requests = self._reserve(requests * e.REQUEST)
        self._first = self._requests + first * e.REQUEST
        heap = self._reserve(_SPARE)
        self._put(
            0,
            {
                e.HEAP: heap,
                e.HEAP_ROOM: _SPARE // 2,
                e.ROOM: 2 * max((_width(visit) for _, visit in system.visits()), default=0) + 4,
                e.NEXT: self._requests,
                e.FIRST: self._first,
                e.LAST: self._requests + requests * e.REQUEST,
                e.UNDECIDED: requests,
                e.DRY: 1,
                e.RETRIES: system.retries,
                e.CLASSES: classes,
                e.UNIFORM: uniform,
                e.BETWEEN: arrivals,
            },
            {e.TIMEOUT: np.inf if system.timeout is None else system.timeout},
        )

    def refill(self, random: np.random.Generator) -> None:
        """New blocks for the sources that are nearly used up. What was left of the old ones nobody has looked at."""
        for source, draw in self._draws.items():
            if self.cells[source + e.DRAWN] + self.cells[e.ROOM] >= e.BLOCK:
                self.reals[source + e.DRAWS : source + e.DRAWS + e.BLOCK] = draw(random, e.BLOCK)
                self.cells[source + e.DRAWN] = 0
        self.cells[e.DRY] = 0

    def grow(self) -> None:
        self._spare *= 2
        self._lengthen(self._spare)
        old, events = int(self.cells[e.HEAP]), int(self.cells[e.EVENTS])
        if events + self.cells[e.ROOM] > self.cells[e.HEAP_ROOM]:
            self.cells[e.HEAP_ROOM] *= 2
            new = self._reserve(2 * int(self.cells[e.HEAP_ROOM]))
            self.cells[new : new + 2 * events] = self.cells[old : old + 2 * events]
            self.cells[e.HEAP] = new

    def run(self, counted: int) -> Run:
        names = [each.name for each in self._system.classes]
        requests = self.cells[self._first : self._first + counted * e.REQUEST].reshape(counted, e.REQUEST)
        classes = (requests[:, e.OF_CLASS] - self.cells[e.CLASSES]) // e.CLASS
        lasted = self.reals[e.COUNT_TO] - self.reals[e.COUNT_FROM]
        busy, waits = {}, {}
        for each in self._system.stations:
            station = self._stations[each.name]
            busy[each.name] = float(self.reals[station + e.BUSY] / (lasted * each.servers * each.pools))
            waits[each.name] = float(self.reals[station + e.WAITED] / max(self.cells[station + e.BEGUN], 1))
        latencies = requests[:, e.LATENCY].copy().view(np.float64)
        return Run(latencies, classes, tuple(names), busy, waits, apart(self._system))

    def _add_stations(self) -> dict[str, int]:
        """Name -> address; and how large a try is, with its pools."""
        place, stations = e.TRY, {}
        for each in self._system.stations:
            pools = [self._record(e.POOL, {e.IDLE: each.servers}) for _ in range(each.pools)]
            values = {
                e.POOLS: each.pools,
                e.FIRST_POOL: pools[0],
                e.BALANCING: _BALANCING[each.balancing],
                e.PLACE: place,
                e.NEXT_POOL: pools[0],
                e.IN_TURNS: int(each.in_turns),
            }
            stations[each.name] = self._record(e.STATION, values)
            visits = (visit for _, visit in self._system.visits() if visit.station == each.name)
            place += 1 + 2 * max(map(_width, visits), default=0)
        self.cells[e.TRY_SIZE] = place
        return stations

    def _add_classes(self) -> int:
        steps = [self._add_steps(each) for each in self._system.classes]
        rows = [
            self._record(e.CLASS, {e.FIRST_STEP: begin, e.END_STEP: end}, {e.UPTO: upto})
            for (begin, end), upto in zip(steps, class_ends(self._system).tolist(), strict=True)
        ]
        return rows[0]

    def _add_steps(self, each: Class) -> tuple[int, int]:
        """Where they begin and end."""
        records = [self._step(each, number, step) for number, step in enumerate(each.steps)]
        steps = [self._record(e.STEP, values, {e.HEDGE: hedge}) for values, hedge in records]
        return steps[0], steps[-1] + e.STEP

    def _step(self, each: Class, number: int, step: Step) -> tuple[Mapping[int, int], float]:
        values = {e.SERVICE: self._source(step.law.draw)}
        if isinstance(step, Pause):
            return values, np.inf
        later = (s.copies for s in each.steps[number + 1 :] if isinstance(s, Visit) and s.station == step.station)
        values |= {
            e.AT: self._stations[step.station],
            e.COPIES: step.copies,
            e.NEEDED: step.needed,
            e.LATER: max(later, default=0),
            e.MARKS: int(each.from_service and number == 0),
            e.HOP: 0 if step.hop == NOTHING else self._source(step.hop.draw),
        }
        return values, np.inf if step.hedge_after is None else step.hedge_after

    def _source(self, draw: Callable[[np.random.Generator, int], Floats]) -> int:
        source = self._record(e.DRAWS + e.BLOCK, {e.DRAWN: e.BLOCK})
        self._draws[source] = draw
        return source

    def _record(self, size: int, cells: Mapping[int, int], reals: Mapping[int, float] | None = None) -> int:
        address = self._reserve(size)
        self._put(address, cells, reals or {})
        return address

    def _put(self, address: int, cells: Mapping[int, int], reals: Mapping[int, float]) -> None:
        for column, whole in cells.items():
            self.cells[address + column] = whole
        for column, real in reals.items():
            self.reals[address + column] = real

    def _reserve(self, size: int) -> int:
        """The address of so many cells, all 0."""
        address = int(self.cells[e.FRESH])
        if address + size + self._spare > len(self.cells):
            self._lengthen(size + self._spare)
        self.cells[e.FRESH] = address + size
        return address

    def _lengthen(self, size: int) -> None:
        self.cells = np.concatenate([self.cells, np.zeros(size, dtype=np.int64)])
        self.reals = self.cells.view(np.float64)
        self.cells[e.END] = len(self.cells)


def _width(visit: Visit) -> int:
    """At how many pools it may be."""
    return visit.copies + (visit.hedge_after is not None)

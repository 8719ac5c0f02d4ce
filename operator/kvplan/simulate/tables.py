"""A system as the arrays of `events`, and what `events` asks for: draws of times by their laws, and more room."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from kvplan.laws import NOTHING, Deterministic, Floats, Gamma, Law
from kvplan.simulate import events as e
from kvplan.simulate.events import Ints, State, advance
from kvplan.simulate.findings import Run
from kvplan.system import Balancing, Class, Pause, System, Visit

Array = TypeVar("Array", Ints, Floats)
Source = Callable[[np.random.Generator, int], Floats]

_BLOCK = 8192  # draws of a source at once
_ROOM = 1024  # tries and jobs at first
_BALANCING = {
    Balancing.RANDOM: e.RANDOM,
    Balancing.ROUND_ROBIN: e.ROUND_ROBIN,
    Balancing.POWER_OF_TWO: e.POWER_OF_TWO,
    Balancing.LEAST_IN_FLIGHT: e.LEAST_IN_FLIGHT,
}


def by_events(system: System, requests: int, first: int, random: np.random.Generator) -> Run:
    """Plays any system; the requests from number `first` on are counted."""
    sources: list[Source] = [lambda random, size: random.random(size), between(system).draw]
    state = _state(system, requests, first, sources)
    state.clock[e.ARRIVAL] = between(system).draw(random, 1)[0]
    while state.counters[e.UNDECIDED]:
        for source in np.flatnonzero(state.drawn + state.room >= _BLOCK):
            state.draws[source] = sources[source](random, _BLOCK)
            state.drawn[source] = 0
        state.counters[e.DRY] = 0
        advance(state)
        if state.counters[e.UNDECIDED] and not state.counters[e.DRY]:
            state = _with_twice_the_room(state)
    return _run(system, state)


def between(system: System) -> Law:
    """The law of the times between arrivals."""
    return Gamma(1 / system.rate, system.scv**0.5) if system.scv else Deterministic(1 / system.rate)


def _run(system: System, state: State) -> Run:
    first, lasted = state.first, state.clock[e.COUNT_TO] - state.clock[e.COUNT_FROM]
    busy, waited, begun = state.sums.T
    stations = system.stations
    return Run(
        latencies=state.latencies[first:],
        classes=state.classes[first:],
        names=tuple(each.name for each in system.classes),
        utilisation={
            each.name: float(busy[i] / (lasted * each.servers * each.pools)) for i, each in enumerate(stations)
        },
        waits={each.name: float(waited[i] / max(begun[i], 1)) for i, each in enumerate(stations)},
    )


def _state(system: System, requests: int, first: int, sources: list[Source]) -> State:
    widest = {station.name: 0 for station in system.stations}
    for _, visit in system.visits():
        widest[visit.station] = max(widest[visit.station], _width(visit))
    stations, columns = _stations(system, widest)
    steps = np.array([row for each in system.classes for row in _steps(system, each, sources)], dtype=np.int64)
    room = 2 * max(widest.values(), default=0) + 4
    tries = max(_ROOM, 2 * room)
    counters = np.zeros(e.COUNTERS, dtype=np.int64)
    counters[[e.IDLE_TRIES, e.IDLE_JOBS, e.UNDECIDED]] = tries, tries, requests
    return State(
        stations=stations,
        steps=steps,
        hedges=np.array([_hedge(step) for each in system.classes for step in each.steps]),
        first_steps=np.cumsum([0, *(len(each.steps) for each in system.classes)]),
        shares=_cumulated(system),
        timeout=np.inf if system.timeout is None else system.timeout,
        retries=system.retries,
        first=first,
        room=room,
        draws=np.empty((len(sources), _BLOCK)),
        drawn=np.full(len(sources), _BLOCK),
        robin=np.zeros(len(stations), dtype=np.int64),
        pools=np.array([(each.servers, -1, -1, 0) for each in system.stations for _ in range(each.pools)]),
        tries=np.zeros((tries, columns), dtype=np.int64),
        idle_tries=np.arange(tries),
        jobs=np.zeros((tries, e.JOB_COLUMNS), dtype=np.int64),
        job_times=np.zeros((tries, e.JOB_TIMES)),
        idle_jobs=np.arange(tries),
        times=np.zeros(tries),
        events=np.zeros(tries, dtype=np.int64),
        counters=counters,
        clock=np.zeros(e.CLOCK),
        sums=np.zeros((len(stations), e.SUMS)),
        classes=np.zeros(requests, dtype=np.int64),
        begun=np.full(requests, np.nan),
        deadlines=np.zeros(requests),
        tried=np.zeros(requests, dtype=np.int64),
        latencies=np.zeros(requests),
    )


def _stations(system: System, widest: dict[str, int]) -> tuple[Ints, int]:
    """Their rows, and the columns that a try needs for itself and its pools."""
    rows, pool, column = [], 0, e.TRY_COLUMNS
    for each in system.stations:
        rows.append((each.pools, pool, _BALANCING[each.balancing], column))
        pool += each.pools
        column += 1 + 2 * widest[each.name]
    return np.array(rows, dtype=np.int64).reshape(-1, 4), column


def _steps(system: System, each: Class, sources: list[Source]) -> list[tuple[int, ...]]:
    """The class's rows; the laws of its times become sources."""
    rows: list[tuple[int, ...]] = []
    for number, step in enumerate(each.steps):
        service = _source(step.law, sources)
        if isinstance(step, Pause):
            rows.append((-1, 0, 0, 0, 0, service, -1))
            continue
        station = next(i for i, station in enumerate(system.stations) if station.name == step.station)
        later = (s.copies for s in each.steps[number + 1 :] if isinstance(s, Visit) and s.station == step.station)
        marks = each.from_service and number == 0
        hop = -1 if step.hop == NOTHING else _source(step.hop, sources)
        rows.append((station, step.copies, step.needed, max(later, default=0), int(marks), service, hop))
    return rows


def _source(law: Law, sources: list[Source]) -> int:
    sources.append(law.draw)
    return len(sources) - 1


def _width(visit: Visit) -> int:
    return visit.copies + (visit.hedge_after is not None)


def _hedge(step: Visit | Pause) -> float:
    return np.inf if isinstance(step, Pause) or step.hedge_after is None else step.hedge_after


def _cumulated(system: System) -> Floats:
    """Where the classes end in [0, 1); the last of any share takes what rounding leaves."""
    shares = np.array([each.share for each in system.classes])
    upto = np.cumsum(shares)
    upto[np.flatnonzero(shares)[-1] :] = 1.0
    return upto


def _with_twice_the_room(state: State) -> State:
    old = len(state.idle_tries)
    new = np.arange(old, 2 * old)
    return state._replace(
        tries=_twice(state.tries),
        idle_tries=_stacked(state.idle_tries, state.counters, e.IDLE_TRIES, new),
        jobs=_twice(state.jobs),
        job_times=_twice(state.job_times),
        idle_jobs=_stacked(state.idle_jobs, state.counters, e.IDLE_JOBS, new),
        times=_twice(state.times),
        events=_twice(state.events),
    )


def _twice(array: Array) -> Array:
    return np.concatenate([array, np.zeros_like(array)])


def _stacked(stack: Ints, counters: Ints, counter: int, new: Ints) -> Ints:
    """The stack with the new ones on top, counted."""
    idle = counters[counter]
    counters[counter] += len(new)
    return np.concatenate([stack[:idle], new, np.zeros(len(stack) - idle, dtype=np.int64)])

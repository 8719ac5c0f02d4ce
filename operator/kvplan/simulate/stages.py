"""The fast way through a system in which no request comes back: station by station, all requests at once.

Who has come first to a station is known when the stations before it are done, so its queue needs no events: requests
sorted by arrival, each begun when it is there and the first of its pool's servers is free (J. Kiefer, J. Wolfowitz, "On
the theory of queues with many servers", 1955; for one server D. V. Lindley, 1952).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kvplan.laws import Floats
from kvplan.simulate.arrivals import between, class_ends
from kvplan.simulate.compiled import compiled
from kvplan.simulate.findings import Run, apart
from kvplan.system import Balancing, Class, Pause, Station, System, Visit


def order(system: System) -> Sequence[str] | None:
    """The stations that are visited, each after those before it on any path; None if there is no such order, or a pool
    is not just drawn or serves in turns, or a visit is more than its own service."""
    visits = [visit for _, visit in system.visits()]
    if system.timeout is not None or any(visit.copies > 1 or visit.hedge_after is not None for visit in visits):
        return None
    if any(each.in_turns or (each.pools > 1 and each.balancing != Balancing.RANDOM) for each in system.stations):
        return None
    before = TopologicalSorter({visit.station: () for visit in visits})
    for each in system.classes:
        for visit, following in pairwise(step for step in each.steps if isinstance(step, Visit)):
            before.add(following.station, visit.station)
    try:
        return list(before.static_order())
    except CycleError:
        return None


def by_stages(system: System, stations: Sequence[str], requests: int, first: int, random: np.random.Generator) -> Run:
    """Plays a system whose stations have that `order`; the requests from number `first` on are counted."""
    arrived = np.cumsum(between(system).draw(random, requests))
    classes = np.searchsorted(class_ends(system), random.random(requests), side="right")
    legs = [leg for number, each in enumerate(system.classes) for leg in _legs(each, np.flatnonzero(classes == number))]
    now, since = arrived.copy(), arrived.copy()  # where in time each request is, and from when its latency counts
    utilisation, waits = dict.fromkeys(system.loads(), 0.0), dict.fromkeys(system.loads(), 0.0)
    for station in map(system.station, stations):
        here = [(leg, leg.visit) for leg in legs if leg.visit and leg.visit.station == station.name]
        came, begun, services = _pass(station, here, now, since, random)
        counted = (begun >= arrived[first]) & (begun <= arrived[-1])
        work = services[counted].sum() / (arrived[-1] - arrived[first])
        utilisation[station.name] = float(work / (station.servers * station.pools))
        waits[station.name] = float((begun - came)[counted].mean()) if counted.any() else 0.0
    for leg in legs:
        if leg.visit is None:
            leg.pause(now, random)
    names = tuple(each.name for each in system.classes)
    return Run((now - since)[first:], classes[first:], names, utilisation, waits, apart(system))


@dataclass(frozen=True)
class _Leg:
    """What requests, by number, do up to the end of a visit, or after the last."""

    requests: NDArray[np.int64]
    pauses: tuple[Pause, ...]
    visit: Visit | None
    marks: bool = False  # the latency counts from its service

    def pause(self, now: Floats, random: np.random.Generator) -> None:
        for pause in self.pauses:
            now[self.requests] += pause.law.draw(random, self.requests.size)


def _legs(each: Class, requests: NDArray[np.int64]) -> Iterator[_Leg]:
    pauses: list[Pause] = []
    for number, step in enumerate(each.steps):
        if isinstance(step, Pause):
            pauses.append(step)
        else:
            yield _Leg(requests, tuple(pauses), step, marks=each.from_service and number == 0)
            pauses = []
    yield _Leg(requests, tuple(pauses), None)


def _pass(
    station: Station, visits: Sequence[tuple[_Leg, Visit]], now: Floats, since: Floats, random: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Takes requests through the station. When each came there, when its service began, and how long that took."""
    for leg, _ in visits:
        leg.pause(now, random)
    sizes = [leg.requests.size for leg, _ in visits]
    requests = np.concatenate([leg.requests for leg, _ in visits])
    services = np.concatenate([visit.law.draw(random, leg.requests.size) for leg, visit in visits])
    ways = np.concatenate([visit.hop.draw(random, leg.requests.size) / 2 for leg, visit in visits])
    pools = random.integers(station.pools, size=requests.size)
    came = now[requests] + ways
    turn = np.argsort(came, kind="stable")
    begun = np.empty_like(came)
    begun[turn] = _begun(came[turn], services[turn], pools[turn], station.pools, station.servers)
    now[requests] = begun + services + ways
    marks = np.repeat([leg.marks for leg, _ in visits], sizes)
    since[requests[marks]] = begun[marks]
    return came, begun, services


@compiled
def _begun(came: Floats, services: Floats, pools: NDArray[np.int64], number: int, servers: int) -> Floats:
    """When each is begun, in order of arrival. For each pool a heap of when its servers are free."""
    free, begun = np.zeros((number, servers)), np.empty_like(came)
    for each in range(len(came)):
        heap = free[pools[each]]
        begun[each] = max(came[each], heap[0])
        ends, hole, child = begun[each] + services[each], 0, 1
        while child < servers:
            if child + 1 < servers and heap[child + 1] < heap[child]:
                child += 1
            if ends <= heap[child]:
                break
            heap[hole] = heap[child]
            hole, child = child, 2 * child + 1
        heap[hole] = ends
    return begun

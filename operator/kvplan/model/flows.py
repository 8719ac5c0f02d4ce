"""How much arrives at each station, and how evenly: rates by adding up the classes' visits, squared CVs (SCV) by the
traffic equations of Whitt 1983, "The Queueing Network Analyzer"."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from kvplan.laws import Floats
from kvplan.model.balancing import Pool
from kvplan.model.pools import pool
from kvplan.model.queues import carried, mean_wait
from kvplan.model.visits import Traffic
from kvplan.system import Class, System, Visit

_OUTSIDE = ""
_SEEN = 0.15  # of its memory: the time over which a queue sees how uneven its arrivals are; fitted to simulations


@dataclass(frozen=True)
class Extras:
    """What comes on top of the first tries of requests."""

    tries: Mapping[str, float] = field(default_factory=dict)  # class -> mean tries of a request, if not 1
    hedged: Mapping[Visit, float] = field(default_factory=dict)  # share of these visits that send one more copy


def traffics(system: System, extras: Extras) -> dict[str, Traffic]:
    """Of every station that has work to do, by name. Utilisations may be 1 and more."""
    works: dict[str, list[tuple[float, Visit]]] = defaultdict(list)
    for each, visit in system.visits():
        if rate := _rate(system, each, extras) * _copies(visit, extras):
            works[visit.station].append((rate, visit))
    known = {}
    for name, visits in works.items():
        rate, work = sum(part for part, _ in visits), sum(part * visit.law.mean for part, visit in visits)
        if work:
            station = system.station(name)
            known[name] = Traffic(
                station,
                rate / station.pools,
                work / (station.pools * station.servers),
                1.0,
                tuple((part / rate, visit.law) for part, visit in visits),
                sum(part * (visit.copies - 1) for part, visit in visits) / rate / max(station.pools - 1, 1),
            )
    known = {name: replace(known[name], scv=scv) for name, scv in _evenness(system, extras, known).items()}
    if any(each.utilisation >= 1 for each in known.values()):
        return known
    return {name: replace(known[name], pool=found) for name, found in _pools(system, extras, known)}


def _pools(system: System, extras: Extras, known: Mapping[str, Traffic]) -> Iterator[tuple[str, Pool | None]]:
    waits = {
        name: each.service * mean_wait(each.utilisation, each.station.servers, each.scv, each.service_scv)
        for name, each in known.items()
    }

    def rate(each: Class, visit: Visit) -> float:
        return _rate(system, each, extras) * _copies(visit, extras)

    for name, each in known.items():
        yield name, pool(system, each.station, each.utilisation, rate, waits)


def _copies(visit: Visit, extras: Extras) -> float:
    return visit.copies + (0.0 if visit.hedge_after is None else extras.hedged.get(visit, 0.0))


def _rate(system: System, each: Class, extras: Extras) -> float:
    return system.rate * each.share * extras.tries.get(each.name, 1.0)


def _evenness(system: System, extras: Extras, known: Mapping[str, Traffic]) -> dict[str, float]:
    """SCV of the arrivals at each station's pools.

    Each station sees the streams over a time of its own, a part of its memory: of the relaxation time of a reflected
    Brownian motion with its drift and variance. Over a short one, a stream that leaves a queue is as uneven as the
    times between single departures (Whitt 1983, sec. 4.5), over a long one as the stream that went in (`carried`). All
    of it is linear in the excess over 1, a Poisson stream's.
    """
    if not known:
        return {}
    streams = _streams(system, extras, known)
    loads = np.array([min(each.utilisation, 1.0) for each in known.values()])
    servers = np.array([each.station.servers for each in known.values()])
    services = np.array([each.service_scv for each in known.values()])
    means = np.array([each.service for each in known.values()])
    memories = (1 + services) * means / (servers * np.maximum(1 - loads, 1e-6) ** 2)
    made = loads**2 * (np.maximum(services, 0.2) - 1) / np.sqrt(servers)
    found = {}
    for at, name in enumerate(known):
        through = carried(_SEEN * loads[at] * memories[at] / memories)
        kept = through + (1 - through) * (1 - loads**2)
        inside = np.eye(len(known)) - streams.inside * kept
        excess = np.linalg.solve(inside, streams.outside + streams.inside @ ((1 - through) * made))
        found[name] = 1 + float(excess[at])
    return found


@dataclass(frozen=True)
class _Streams:
    """What of a stream's excess over a Poisson stream's SCV arrives at a pool of a station: after it was split, and
    evened out by the others (Whitt 1983, sec. 4.2 to 4.4)."""

    inside: Floats  # [to station, from station]
    outside: Floats  # [to station]


def _streams(system: System, extras: Extras, known: Mapping[str, Traffic]) -> _Streams:
    edges, places = _edges(system, extras, known), {name: at for at, name in enumerate(known)}
    inside, outside = np.zeros((len(known), len(known))), np.zeros(len(known))
    for name, each in known.items():
        whole, pools, alike = each.rate * each.station.pools, each.station.pools, 0.0
        for source, rate in edges[name].items():
            part = rate / whole
            if source:
                origin = known[source]
                alike += part**2 / origin.station.pools
                inside[places[name], places[source]] = part * rate / (origin.rate * origin.station.pools * pools)
            else:
                alike += part**2
                total = sum(_rate(system, one, extras) for one in system.classes)
                outside[places[name]] = part * rate / (total * pools) * (system.scv - 1)
        evened = 1 / (1 + 4 * (1 - min(each.utilisation, 1.0)) ** 2 * (1 / alike - 1))
        inside[places[name]] *= evened
        outside[places[name]] *= evened
    return _Streams(inside, outside)


def _edges(system: System, extras: Extras, known: Mapping[str, Traffic]) -> dict[str, dict[str, float]]:
    """Station -> where its arrivals come from -> their rate."""
    edges: dict[str, dict[str, float]] = {name: defaultdict(float) for name in known}
    for each in system.classes:
        source = _OUTSIDE
        for step in each.steps:
            if isinstance(step, Visit) and step.station in known:
                edges[step.station][source] += _rate(system, each, extras) * step.copies
                source = step.station
    return edges

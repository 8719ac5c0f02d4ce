"""How much arrives at each station, and how evenly: rates by adding up the classes' visits, squared CVs (SCV) by the
traffic equations of Whitt 1983, "The Queueing Network Analyzer"."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from kvplan.model.queues import departures, merged, scv_of, split
from kvplan.model.visits import Traffic
from kvplan.system import Class, System, Visit

_OUTSIDE = ""
_ROUNDS = 12


@dataclass(frozen=True)
class Extras:
    """What comes on top of the first tries of requests."""

    tries: Mapping[str, float] = field(default_factory=dict)  # class -> mean tries of a request, if not 1
    hedged: Mapping[Visit, float] = field(default_factory=dict)  # share of these visits that send one more copy


def traffics(system: System, extras: Extras) -> dict[str, Traffic]:
    """Of every station that has work to do, by name. Utilisations may be 1 and more."""
    works: dict[str, list[tuple[float, Visit]]] = defaultdict(list)
    for each, visit in system.visits():
        copies = visit.copies + extras.hedged.get(visit, 0.0)
        if rate := _rate(system, each, extras) * copies:
            works[visit.station].append((rate, visit))
    known = {}
    for name, visits in works.items():
        rate, work = sum(part for part, _ in visits), sum(part * visit.law.mean for part, visit in visits)
        if work:
            station = system.station(name)
            laws = tuple((part / rate, visit.law) for part, visit in visits)
            known[name] = Traffic(station, rate / station.pools, work / (station.pools * station.servers), 1.0, laws)
    return {name: replace(known[name], scv=scv) for name, scv in _evenness(system, extras, known).items()}


def _rate(system: System, each: Class, extras: Extras) -> float:
    return system.rate * each.share * extras.tries.get(each.name, 1.0)


def _evenness(system: System, extras: Extras, known: Mapping[str, Traffic]) -> dict[str, float]:
    """SCV of the arrivals at each station's pools, by repeated substitution: as many rounds as the path has stations,
    some more if it returns to one."""
    edges = _edges(system, extras, known)
    leaving_rate = {name: each.rate * each.station.pools for name, each in known.items()}
    leaving_rate[_OUTSIDE] = sum(_rate(system, each, extras) for each in system.classes)
    services = {name: scv_of(each.laws) for name, each in known.items()}
    arriving = dict.fromkeys(known, 1.0)
    for _ in range(_ROUNDS):
        leaving = {_OUTSIDE: system.scv} | {
            name: departures(min(each.utilisation, 1.0), each.station.servers, arriving[name], services[name])
            for name, each in known.items()
        }
        before, arriving = arriving, {}
        for name, each in known.items():
            streams, pools = [], each.station.pools
            for source, rate in edges[name].items():
                sources = known[source].station.pools if source else 1
                kept = rate / (leaving_rate[source] * pools)
                streams.append((rate / (pools * sources), split(leaving[source], kept), sources))
            hedges = each.rate - sum(edges[name].values()) / pools
            if hedges > 1e-9 * each.rate:
                streams.append((hedges, 1.0, 1))
            arriving[name] = merged(streams, min(each.utilisation, 1.0))
        if all(abs(arriving[name] - before[name]) < 1e-4 for name in known):
            break
    return arriving


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

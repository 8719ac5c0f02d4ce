"""A system's latency, computed: its traffic settled, its classes' ways walked, their percentiles read."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kvplan.errors import InputError
from kvplan.laws import Gamma
from kvplan.model.flows import Extras, traffics
from kvplan.model.grid import COARSE, FINE, Mass, covering, in_a_row, mixture
from kvplan.model.path import Path
from kvplan.model.prediction import ClassPrediction, Latency, Part, Prediction, StationLoad
from kvplan.model.queues import markov_wait, mean_wait, waiting_share
from kvplan.model.settle import settled
from kvplan.model.visits import Traffic, unknown
from kvplan.system import Balancing, Class, Step, System, Visit

_LOADED = 0.2  # from here on a station's law of service matters
_MOST_CV = 1.5
_MOST_LOAD = 0.95
_RARE = 1e-4  # share of late tries from which on they can tip a system by themselves
_INDEPENDENT = 16  # queues among which two tries of a request may be taken as independent
_SHORTEST = 1e-9  # seconds that a grid spans


def predict(
    system: System,
    *,
    percentiles: Sequence[float] = (50, 95, 99, 99.9),
    thresholds: Sequence[float] = (),
    resolution: int = FINE,
) -> Prediction:
    """The latency of each class and of all that are counted, and what limits the rate. `percentiles` in (0, 100),
    `thresholds` in seconds; `resolution` is FINE, or COARSE, which is fast and leaves out the p95 of M/M/c.

    A client that gives up lies above every percentile that it may, and is not in the mean; tries are taken as
    independent. Raises UnstableError for a station that cannot do its work; its subclass AmplifiedError if that is so
    only because of retries or hedges.
    """
    if not percentiles or not all(0 < each < 100 for each in percentiles):
        raise InputError(f"percentiles {list(percentiles)}; expected one or more, between 0 and 100")
    if not any(each.counted and each.share for each in system.classes):
        raise InputError("no class of the system is counted; expected one with a share above 0")
    path, ends = _walked(system, max(percentiles) / 100, resolution)
    whole = _mixed([(each.share, end) for each, end in zip(system.classes, ends, strict=True) if each.counted])
    everything = _mixed([(each.share, end) for each, end in zip(system.classes, ends, strict=True)])
    closed = {"number in the system (Little)": system.rate * everything.mass.mean}
    if resolution > COARSE:
        closed["p95 of independent M/M/c"] = _markov_p95(system, path)
    return Prediction(
        rate=system.rate,
        latency=whole.latency(percentiles, thresholds),
        classes=tuple(
            ClassPrediction(each.name, each.share, end.latency(percentiles, thresholds), tuple(_parts(path, each)))
            for each, end in zip(system.classes, ends, strict=True)
        ),
        stations=_stations(system, path),
        gave_up=whole.never,
        beyond=_beyond(system, path.traffics, whole.never ** (1 / (1 + system.retries))),
        closed_forms=closed,
    )


@dataclass(frozen=True, eq=False)
class _End:
    """Time until the answer, of those who get one; the share of the others."""

    mass: Mass
    never: float

    def latency(self, percentiles: Sequence[float], thresholds: Sequence[float]) -> Latency:
        answered = 1 - self.never
        return Latency(
            self.mass.mean,
            {p: self.mass.quantile(p / 100 / answered) if p / 100 < answered else math.inf for p in percentiles},
            {t: self.mass.within(t) * answered for t in thresholds},
        )


def _mixed(parts: Sequence[tuple[float, _End]]) -> _End:
    weights = [share * (1 - end.never) for share, end in parts]
    total, answered = sum(share for share, _ in parts), sum(weights)
    if not answered:
        return parts[0][1]
    masses = [end.mass for _, end in parts]
    return _End(mixture([(w / answered, mass) for w, mass in zip(weights, masses, strict=True)]), 1 - answered / total)


def _walked(system: System, share: float, resolution: int) -> tuple[Path, list[_End]]:
    """On a grid that ends behind the highest percentile of the slowest class, not far behind."""
    system.check_stable()
    plain = traffics(system, Extras())
    reach = _guess(system, plain)
    while True:
        found = settled(system, plain, covering(reach, COARSE))
        path = Path(found, covering(reach, resolution), {})
        ends = [_end(system, path.one_try(each)) for each in system.classes]
        needed = max(end.mass.quantile(share) for end in ends)
        if needed <= reach <= max(6 * needed, _SHORTEST):
            return path, ends
        reach = max(2 * needed, _SHORTEST)


def _end(system: System, one_try: Mass) -> _End:
    if system.timeout is None:
        return _End(one_try, 0.0)
    return _End(*one_try.tried_again(system.timeout, system.retries))


def _guess(system: System, found: Mapping[str, Traffic]) -> float:
    """Mean and 14 deviations of the slowest class."""
    waits = {name: _wait_moments(each) for name, each in found.items()}
    reach = _SHORTEST
    for each in system.classes:
        mean = variance = 0.0
        for step in each.steps:
            mean, variance = mean + step.law.mean, variance + step.law.mean**2 * step.law.scv
            if isinstance(step, Visit):
                wait, spread = waits.get(step.station, (0.0, 0.0))
                mean, variance = mean + step.hop.mean + wait, variance + step.hop.mean**2 * step.hop.scv + spread
        reach = max(reach, mean + 14 * math.sqrt(variance))
    return reach


def _wait_moments(traffic: Traffic) -> tuple[float, float]:
    """Mean and variance, as if waits that are not 0 were exponential."""
    at = (traffic.utilisation, traffic.station.servers, traffic.scv, traffic.service_scv)
    mean = mean_wait(*at) * traffic.service
    return mean, mean**2 * (2 / waiting_share(*at) - 1) if mean else 0.0


def _parts(path: Path, each: Class) -> Iterator[Part]:
    seen: Counter[str] = Counter()
    for step in each.steps:
        name = step.station if isinstance(step, Visit) else step.name
        seen[name] += 1
        mass = path.step(step)
        wait = path.wait(step.station).mean if isinstance(step, Visit) else 0.0
        yield Part(name if seen[name] == 1 else f"{name} ({seen[name]})", mass.mean, mass.quantile(0.95), wait)


def _stations(system: System, path: Path) -> tuple[StationLoad, ...]:
    """By what they limit."""
    found = []
    for station in system.stations:
        known = path.traffics.get(station.name)
        if not known:
            found.append(StationLoad(station.name, 0.0, 0.0, 0.0, math.inf))
            continue
        erlang = markov_wait(known.utilisation, station.servers, known.service)
        limit = system.rate / known.utilisation
        found.append(StationLoad(station.name, known.utilisation, path.wait(station.name).mean, erlang, limit))
    return tuple(sorted(found, key=lambda each: each.saturates_at))


def _markov_p95(system: System, path: Path) -> float:
    """What M/M/c knows: exponential services of the same means, Poisson arrivals, independent visits."""
    plain = Path({name: _markov(each) for name, each in path.traffics.items()}, path.grid, path.laws)
    ways = [
        (each.share, in_a_row([plain.step(_exponential(step)) for step in each.steps]))
        for each in system.classes
        if each.counted
    ]
    return mixture([(share / sum(share for share, _ in ways), way) for share, way in ways]).quantile(0.95)


def _markov(traffic: Traffic) -> Traffic:
    station = replace(traffic.station, balancing=Balancing.RANDOM, in_turns=False)
    return replace(traffic, station=station, scv=1.0, laws=((1.0, Gamma(traffic.service, 1.0)),), pool=None)


def _exponential(step: Step) -> Step:
    return replace(step, law=Gamma(step.law.mean, 1.0)) if isinstance(step, Visit) and step.law.mean else step


def _beyond(system: System, found: Mapping[str, Traffic], late: float) -> str | None:
    """`late`: share of the tries that are given up."""
    reasons = [
        f"{name} has a load of {each.utilisation:.3f}, above {_MOST_LOAD}"
        for name, each in found.items()
        if each.utilisation > _MOST_LOAD * (1 + 1e-9)
    ]
    reasons += [
        f"the service times at {name} have a CV of {math.sqrt(scv):.2f}, above {_MOST_CV}"
        for name, each in found.items()
        if each.utilisation > _LOADED and (scv := each.service_scv) > _MOST_CV**2 * (1 + 1e-9)
    ]
    reasons += [f"{name} {reason}" for name, each in found.items() if (reason := unknown(each))]
    if system.retries and late > _RARE:
        reasons += _of_retries(system, max(found, key=lambda name: found[name].utilisation))
    if system.scv > _MOST_CV**2:
        reasons.append(f"the times between arrivals have a CV of {math.sqrt(system.scv):.2f}, above {_MOST_CV}")
    return f"{'; '.join(reasons)}: use --simulate" if reasons else None


def _of_retries(system: System, busiest: str) -> Iterator[str]:
    if (most := (1 + system.retries) * system.loads()[busiest]) >= 1:
        yield f"{busiest} would get {most:.2f} times the work it can do if all tries were late, and stay so"
    if (pools := system.station(busiest).pools) < _INDEPENDENT:
        yield f"a request's next try meets the same queue again at {busiest}, which has {pools}"

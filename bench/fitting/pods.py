"""Finds the coefficients of kvplan.model.balancing and writes them to kvplan/model/fitted.py.

A space-filling design of pods (Sobol), for each rule of balancing, is simulated; then the coefficients are those with
the least squared relative errors of p50, p95 and p99 of each class, counted from the arrival and from the first
service. A small penalty holds those that the design says little about near where they start: theory as it is.

    python bench/fitting/pods.py FILE

FILE keeps what was simulated, which takes longest, so that a fit that is tried again need not do that again. `make
format` afterwards.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import qmc

from kvplan.laws import Floats, LogNormal
from kvplan.model.balancing import Coefficients, Pool, Stay, Waits
from kvplan.model.grid import Mass, covering, in_a_row, of_law
from kvplan.model.visits import law_of
from kvplan.simulate import run
from kvplan.system import Balancing, Class, Pause, Station, System, Visit

SEED = 20261129
SYSTEMS = 64  # of each rule
REQUESTS = 1_000_000  # at most
PERCENTILES = (50, 95, 99)
WEIGHTS = (0.4, 1.0, 0.7)
PENALTY = 0.05
NODES = 512

# Quantity -> products of terms; "" is the constant.
TERMS: Mapping[Balancing, Mapping[str, tuple[str, ...]]] = {
    Balancing.RANDOM: {
        "mean": ("", "load", "spread"),
        "waiting": (),
        "scv": ("", "spread"),
        "common": ("", "busy", "gap", "faded", "load"),
        "first": ("spread", "slack"),
        "later": ("soon slack", "soon slack spread"),
        "drag": ("load load",),
    },
    Balancing.ROUND_ROBIN: {
        "mean": (
            "",
            "evened",
            "slack",
            "away",
            "evened away away",
            "evened evened away",
            "slack away away",
            "slack slack pools",
        ),
        "waiting": ("", "slack", "slack away away", "evened slack pools", "evened away pools"),
        "scv": ("", "spread", "slack"),
        "common": ("", "busy", "gap", "faded", "load", "spread"),
        "first": ("spread", "slack"),
        "later": ("spread", "slack", "soon slack", "soon slack spread"),
        "drag": ("load load",),
    },
    Balancing.POWER_OF_TWO: {
        "mean": (
            "",
            "load shared shared",
            "load load shared",
            "pools pools shared",
            "pools away shared",
            "away shared shared",
            "spread away away",
            "spread spread load",
            "spread spread spread",
        ),
        "waiting": (),
        "scv": ("spread", "shared"),
        "common": ("", "busy", "gap", "faded", "load", "pools"),
        "first": ("spread",),
        "later": ("soon", "soon spread"),
        "drag": ("load load",),
    },
    Balancing.LEAST_IN_FLIGHT: {
        "mean": (
            "",
            "away",
            "load away away",
            "spread shared shared",
            "spread pools away",
            "spread spread load",
            "spread spread pools",
            "spread spread shared",
        ),
        "waiting": ("spread",),
        "scv": ("spread", "shared"),
        "common": ("", "busy", "gap", "faded", "load", "pools"),
        "first": ("spread",),
        "later": ("soon", "soon spread"),
        "drag": ("load load",),
    },
}
START = {("common", "busy"): 1.0, ("common", "gap"): -0.5, ("common", "faded"): -0.7}


def designed(balancing: Balancing) -> Iterator[System]:
    """Each class twice: counted from its arrival, and from its first service. Times in mean services."""
    for point in qmc.Sobol(14, seed=SEED + list(Balancing).index(balancing)).random(SYSTEMS):
        draw = iter(point.tolist())
        pools, load, cv = round(_even(next(draw), 2, 40)), 0.3 + 0.63 * next(draw), 0.3 + 1.2 * next(draw)
        near = Pause("near", LogNormal(_even(next(draw), 0.1, 6), 0.1 + 1.1 * next(draw)))
        far = Pause("far", LogNormal(near.law.mean * _even(next(draw), 0.7, 12), 0.1 + 1.1 * next(draw)))
        kind, hits, writes = next(draw), 0.5 + 0.5 * next(draw), 0.02 + 0.33 * next(draw)
        a, b, c, d = (Visit("pod", LogNormal(0.5 + next(draw), cv)) for _ in range(4))
        shares: dict[tuple[Visit | Pause, ...], float]
        if kind < 0.1:
            shares = {(a,): 1.0}
        elif kind < 0.35:
            shares = {(a, near, b): hits, (a, far, c): 1 - hits}
        else:
            shares = {
                (a, near, b): (1 - writes) * hits,
                (a, near, b, far, c): (1 - writes) * (1 - hits),
                (d, far, b, near, c): writes,
            }
        classes = tuple(
            Class(f"{number}{'s' if late else ''}", share / 2, steps, from_service=late)
            for number, (steps, share) in enumerate(shares.items())
            for late in (False, True)
        )
        one = System(1.0, (Station("pod", 1, pools, balancing),), classes)
        yield one.at(load / one.loads()["pod"])


def _even(share: float, low: float, high: float) -> float:
    return low * math.pow(high / low, share)


def simulated(file: Path, balancing: Balancing) -> Iterator[tuple[System, Mapping[str, list[float]]]]:
    """Class -> its percentiles."""
    known = (
        {tuple(key): found for key, found in map(json.loads, file.read_text().splitlines())} if file.exists() else {}
    )
    for number, system in enumerate(designed(balancing)):
        key = (balancing.value, number)
        if key not in known:
            played = run(system, requests=enough(system, REQUESTS), seed=number)
            known[key] = {name: [played.quantile(p, name) for p in PERCENTILES] for name in played.names}
            with file.open("a") as out:
                print(json.dumps([key, known[key]]), file=out)
            print(f"{balancing.value} {number} load {system.loads()['pod']:.2f}", flush=True)
        yield system, known[key]


def enough(system: System, most: int) -> int:
    """Requests to play: the busier the pods, the longer until what was is forgotten."""
    return round(min(most, most / 20 / (1 - system.loads()["pod"]) ** 2))


@dataclass(frozen=True, eq=False)
class Case:
    """A class of a designed system, and what it was found to take."""

    pool: Pool
    gaps: list[float]
    variances: list[float]
    skipped: int
    rest: Mass  # all but the waits
    found: list[float]

    def errors(self, waits: Waits) -> list[float]:
        law = law_of(waits.of(self.gaps, self.variances, skipped=self.skipped), self.rest.grid)
        whole = in_a_row([self.rest, law])
        return [math.log(whole.quantile(p / 100) / known) for p, known in zip(PERCENTILES, self.found, strict=True)]


def cases(system: System, found: Mapping[str, list[float]]) -> Iterator[Case]:
    pool = pool_of(system)
    for each in system.classes:
        services, skipped = _services(each), int(each.from_service)
        if len(services) > skipped and each.share > 0.01:
            grid = covering(2.5 * found[each.name][-1], NODES)
            rest = in_a_row([of_law(step.law, grid) for step in each.steps])
            variances = [law.mean**2 * law.scv for law in services]
            yield Case(pool, list(gaps_of(each)), variances, skipped, rest, found[each.name])


def pool_of(system: System) -> Pool:
    station = system.stations[0]
    stays = tuple(Stay(2 * each.share, _services(each), gaps_of(each)) for each in system.classes[::2])
    return Pool(station.balancing, station.pools, system.loads()["pod"], 1.0, stays)


def _services(each: Class) -> tuple[LogNormal, ...]:
    return tuple(step.law for step in each.steps if isinstance(step, Visit) and isinstance(step.law, LogNormal))


def gaps_of(each: Class) -> tuple[float, ...]:
    return tuple(step.law.mean for step in each.steps if isinstance(step, Pause))


def fitted(balancing: Balancing, known: list[Case]) -> tuple[Coefficients, Floats]:
    """The coefficients, and what errors they leave: [case, percentile]."""
    places = [(quantity, term) for quantity, terms in TERMS[balancing].items() for term in terms]
    start = np.array([START.get(place, 0.0) for place in places])

    def named(values: Floats) -> Coefficients:
        one: dict[str, dict[str, float]] = {quantity: {} for quantity in TERMS[balancing]}
        for (quantity, term), value in zip(places, values.tolist(), strict=True):
            one[quantity][term] = value
        return one

    def errors(values: Floats) -> Floats:
        coefficients = named(values)
        waits = {id(case.pool): Waits(case.pool, coefficients) for case in known}
        return np.array([case.errors(waits[id(case.pool)]) for case in known])

    def residuals(values: Floats) -> Floats:
        return np.concatenate([(errors(values) * WEIGHTS).ravel(), PENALTY * (values - start)])

    found = np.round(least_squares(residuals, start, max_nfev=8).x, 4)
    return named(found), errors(found)


def main(file: Path) -> None:
    rules: dict[str, Coefficients] = {}
    for balancing in Balancing:
        known = [case for system, found in simulated(file, balancing) for case in cases(system, found)]
        rules[balancing.value], errors = fitted(balancing, known)
        off = np.abs(np.expm1(errors))
        for name, found in (("median", np.median(off, axis=0)), ("worst", off.max(axis=0))):
            shown = ", ".join(f"p{p} {100 * value:.1f} %" for p, value in zip(PERCENTILES, found, strict=True))
            print(f"{balancing.value}: {name} of {len(known)} classes: {shown}", flush=True)
    target = Path(__file__).parents[2] / "operator/kvplan/model/fitted.py"
    target.write_text(
        '"""Generated by bench/fitting/pods.py, not to be edited: rule -> quantity -> product of terms."""\n\n'
        f"FITTED: dict[str, dict[str, dict[str, float]]] = {json.dumps(rules, indent=4)}\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

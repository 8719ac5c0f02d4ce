"""A request's stay at one pool of a station, as a law on a grid: its wait, whatever the balancing, and a stay of
several visits.

The visits of one request meet the same queue again, so their waits depend on each other: the law of their sum is not
that of independent waits. `balancing` knows its mean and variance and how often it is 0; here it is 0 or gamma.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from kvplan.laws import Gamma, Law
from kvplan.model.balancing import Pool, Sum, Waits
from kvplan.model.grid import Grid, Mass, in_a_row, of_law
from kvplan.model.queues import scv_of, weight_of_law
from kvplan.model.queues import wait as queue_wait
from kvplan.system import Balancing, Station

_LEAST_SCV = 0.02  # of waits that are not 0
_MOST_LOAD = 0.93  # of what bench/pods.py draws
_FAINT = 1e-12  # a share of waits that does not matter, but is not 0


@dataclass(frozen=True)
class Traffic:
    """What all classes together do at a station, retries and hedges included."""

    station: Station
    rate: float  # visits per second at each pool
    utilisation: float  # of each server
    scv: float  # of the times between arrivals at a pool, balanced at random
    laws: tuple[tuple[float, Law], ...]  # (share of the visits, law of the service); shares sum to 1
    together: float = 0.0  # share of a pool's visits of which another given pool has a copy
    pool: Pool | None = None  # if a visit depends on the request's others there, or on how its pool was chosen

    @cached_property
    def service(self) -> float:
        """Mean of a service (s)."""
        return sum(weight * law.mean for weight, law in self.laws)

    @cached_property
    def service_scv(self) -> float:
        return scv_of(self.laws)

    @cached_property
    def known(self) -> Waits | None:
        return Waits(self.pool) if self.pool else None

    @cached_property
    def alike(self) -> float:
        """Correlation of the waits at two pools, as of two normal variables. The work that comes to them has that of
        the base: they share arrivals, but no services. The exponent fits simulations of quorums."""
        services = self.service_scv
        if services > 1:
            services = 1 + weight_of_law(self.utilisation, self.station.servers) * (services - 1)
        return float((self.together / (1 + services)) ** 1.7)


def wait(traffic: Traffic, grid: Grid) -> Mass:
    """Of one visit, seen alone."""
    if traffic.known:
        return law_of(traffic.known.one, grid)
    return queue_wait(traffic.utilisation, traffic.station.servers, traffic.scv, traffic.laws, grid)


def span(
    traffic: Traffic,
    alone: Mass,
    services: Sequence[Mass],
    gaps: Sequence[Mass],
    *,
    counts_first: bool,
    leaves: bool = True,
) -> Mass:
    """From a request's arrival at its pool to the end of its last visit there: len(services) visits, 2 or more, with
    len(services) - 1 gaps in between. `alone` is the wait of one visit. Without `counts_first` it counts from when the
    first service begins; without `leaves` to when the last one ends, if its turn does not end with it."""
    skipped = 0 if counts_first else 1
    if traffic.known is None:
        return in_a_row([*services, *gaps, *([alone] * (len(services) - skipped))])
    variances = [_variance(each) for each in services]
    waits = traffic.known.of([gap.mean for gap in gaps], variances, skipped=skipped, leaves=leaves)
    return in_a_row([*services, *gaps, law_of(waits, alone.grid)])


def unknown(traffic: Traffic) -> str | None:
    """What of the station was not held against simulation, if anything."""
    station = traffic.station
    if not traffic.pool:
        any_will_do = station.pools == 1 or station.balancing is Balancing.RANDOM
        return None if any_will_do else f"chooses pools of {station.servers} servers, taken here as chosen at random"
    if traffic.utilisation > _MOST_LOAD:
        return f"has a load of {traffic.utilisation:.3f}, above {_MOST_LOAD} where requests come back or are balanced"
    return None


def law_of(waits: Sum, grid: Grid) -> Mass:
    """0, or gamma."""
    waiting = max(1 - waits.none, _FAINT)
    mean = waits.mean / waiting
    scv = max((waits.variance + waits.mean**2) / waiting / mean**2 - 1, _LEAST_SCV)
    values = waiting * of_law(Gamma(mean, math.sqrt(scv)), grid).values
    values[0] += waits.none
    return Mass(grid, waits.mean, values=values)


def _variance(mass: Mass) -> float:
    return float(mass.values @ (mass.grid.nodes - mass.mean) ** 2)

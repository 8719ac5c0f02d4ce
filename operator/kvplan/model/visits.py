"""A request's stay at one pool of a station: its wait, whatever the balancing, and a stay of several visits."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from kvplan.laws import Law
from kvplan.model.grid import Grid, Mass, in_a_row
from kvplan.model.queues import scv_of, weight_of_law
from kvplan.model.queues import wait as queue_wait
from kvplan.system import Station


@dataclass(frozen=True)
class Traffic:
    """What all classes together do at a station, retries and hedges included."""

    station: Station
    rate: float  # visits per second at each pool
    utilisation: float  # of each server
    scv: float  # of the times between arrivals at a pool, balanced at random
    laws: tuple[tuple[float, Law], ...]  # (share of the visits, law of the service); shares sum to 1
    together: float = 0.0  # share of a pool's visits of which another given pool has a copy

    @cached_property
    def service(self) -> float:
        """Mean of a service (s)."""
        return sum(weight * law.mean for weight, law in self.laws)

    @cached_property
    def service_scv(self) -> float:
        return scv_of(self.laws)

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
    return queue_wait(traffic.utilisation, traffic.station.servers, traffic.scv, traffic.laws, grid)


def span(traffic: Traffic, alone: Mass, services: Sequence[Mass], gaps: Sequence[Mass], *, counts_first: bool) -> Mass:
    """From a request's arrival at its pool to the end of its last visit there: len(services) visits, 2 or more, with
    len(services) - 1 gaps in between. `alone` is the wait of one visit. Without `counts_first` it counts from when the
    first service begins."""
    waits = [alone] * (len(services) if counts_first else len(services) - 1)
    return in_a_row([*services, *gaps, *waits])

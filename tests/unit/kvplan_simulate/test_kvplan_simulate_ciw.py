"""Ten systems, simulated by ours and by Ciw (G. Palmer and others, "Ciw: an open-source discrete event simulation
library with Python", 2019), which shares no code with it."""

import math
import random
from collections.abc import Mapping
from typing import Any

import ciw
import numpy as np
import pytest

from kvplan.laws import Gamma, Law, LogNormal
from kvplan.simulate import Run, run
from kvplan.system import Balancing, Class, Pause, Station, Step, System, Visit

EXPONENTIAL = Gamma(1.0, 1.0)


def one_class(*steps: Step) -> tuple[Class, ...]:
    return (Class("all", 1.0, steps),)


def balanced(balancing: Balancing) -> System:
    return System(3 * 0.5, (Station("a", pools=3, balancing=balancing),), one_class(Visit("a", LogNormal(1.0, 0.8))))


# Half loaded, so that a short run has many busy periods, without which its interval is none.
SYSTEMS = {
    "M/M/1": System(0.5, (Station("a"),), one_class(Visit("a", EXPONENTIAL))),
    "M/M/3": System(1.8, (Station("a", 3),), one_class(Visit("a", EXPONENTIAL))),
    "one server, uneven services": System(0.5, (Station("a"),), one_class(Visit("a", LogNormal(1.0, 1.5)))),
    "uneven arrivals": System(1.0, (Station("a", 2),), one_class(Visit("a", Gamma(1.0, 0.5))), scv=2.0),
    "tandem": System(
        1.0,
        (Station("a"), Station("b", 4), Station("c", 2)),
        one_class(Visit("a", LogNormal(0.5, 0.5)), Visit("b", LogNormal(2.2, 1.2)), Visit("c", LogNormal(1.0, 0.8))),
    ),
    "routes by class": System(
        1.0,
        (Station("a"), Station("b", 2)),
        (
            Class("hit", 0.8, (Visit("a", LogNormal(0.4, 1.0)),)),
            Class("miss", 0.2, (Visit("a", LogNormal(1.0, 0.5)), Pause("way", EXPONENTIAL), Visit("b", Gamma(5, 1.0)))),
        ),
    ),
    "a way back": System(
        1.0,
        (Station("a", 2), Station("b")),
        one_class(
            Visit("a", LogNormal(0.5, 0.7)), Visit("b", EXPONENTIAL.scaled(0.5)), Visit("a", LogNormal(0.5, 0.7))
        ),
    ),
    "random pods, visited twice": System(
        4.0,
        (Station("a", pools=4), Station("b")),
        one_class(
            Visit("a", LogNormal(0.25, 1.0)), Visit("b", EXPONENTIAL.scaled(0.1)), Visit("a", LogNormal(0.25, 1.0))
        ),
    ),
    "in turn": balanced(Balancing.ROUND_ROBIN),
    "least in flight": balanced(Balancing.LEAST_IN_FLIGHT),
}


@pytest.mark.counted
@pytest.mark.parametrize("name", SYSTEMS)
def test_ciw_finds_the_same_mean_and_p95(name: str, counted: Any) -> None:
    """Each no farther apart than twice the half width of both 95 % intervals together."""
    theirs = by_ciw(SYSTEMS[name], counted(6000, 100_000))
    ours = run(SYSTEMS[name], requests=counted(100_000, 2_000_000), seed=1)
    for percentile in (None, 95.0):
        (low, high), (least, most) = ours.interval(percentile), theirs.interval(percentile)
        apart, margin = (low + high - least - most) / 2, math.hypot(high - low, most - least) / 2
        what = "mean" if percentile is None else f"p{percentile:g}"
        counted.tell(f"{name}: {what} {(low + high) / 2:.3f}, Ciw {(least + most) / 2:.3f} +/- {margin:.3f}")
        assert abs(apart) < 2 * margin


def by_ciw(system: System, requests: int) -> Run:
    """The first tenth of the requests and the last twentieth, of which some are still under way, are left out."""
    network, stop = ciw_network(system), requests
    ciw.seed(1)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(stop, method="Finish")
    began, ended = np.full(2 * requests, np.inf), np.zeros(2 * requests)
    for record in simulation.get_all_records():
        number = record.id_number
        began[number] = min(began[number], record.arrival_date)
        ended[number] = max(ended[number], record.exit_date)
    latencies = (ended - began)[requests // 10 : requests - requests // 20]
    return Run(latencies, np.zeros(latencies.size, dtype=np.int64), ("all",), {}, {})


def ciw_network(system: System) -> Any:
    """Requests arrive at node 1, which only sends them on; then a node for each pool and each pause, whose servers do
    not end. A pool is drawn when its request comes, or chosen by a router of Ciw's own."""
    nodes: dict[str, list[int]] = {}
    servers: list[float] = [math.inf]
    for each in system.stations:
        nodes[each.name] = [len(servers) + 1 + pool for pool in range(each.pools)]
        servers += [each.servers] * each.pools
    for pause in {step.name for each in system.classes for step in each.steps if isinstance(step, Pause)}:
        nodes[pause] = [len(servers) + 1]
        servers.append(math.inf)
    arrivals = {
        each.name: [gamma(1 / (system.rate * each.share), system.scv), *[None] * (len(servers) - 1)]
        for each in system.classes
    }
    services = {each.name: [ciw_law(law) for law in laws(each, nodes, len(servers))] for each in system.classes}
    return ciw.create_network(
        arrival_distributions=arrivals,
        service_distributions={name: [ciw.dists.Deterministic(0.0), *rest] for name, rest in services.items()},
        number_of_servers=servers,
        routing={each.name: router(system, each, nodes, len(servers)) for each in system.classes},
    )


def laws(each: Class, nodes: Mapping[str, list[int]], number: int) -> list[Law]:
    """Of the class at each node after the first; any law where it does not go."""
    at = {node: step.law for step in each.steps for node in nodes[place(step)]}
    return [at.get(node, EXPONENTIAL) for node in range(2, number + 1)]


def place(step: Step) -> str:
    return step.name if isinstance(step, Pause) else step.station


def router(system: System, each: Class, nodes: Mapping[str, list[int]], number: int) -> Any:
    match system.stations[0].balancing:
        case Balancing.ROUND_ROBIN:
            first = ciw.routing.Cycle(nodes["a"])
        case Balancing.LEAST_IN_FLIGHT:
            first = ciw.routing.LoadBalancing(nodes["a"])
        case _:
            return ciw.routing.ProcessBased(lambda *_: route(each, nodes))
    return ciw.routing.NetworkRouting([first, *(ciw.routing.Leave() for _ in range(number - 1))])


def route(each: Class, nodes: Mapping[str, list[int]]) -> list[int]:
    pools = {name: random.choice(choices) for name, choices in nodes.items()}
    return [pools[place(step)] for step in each.steps]


def ciw_law(law: Law) -> Any:
    if isinstance(law, LogNormal):
        variance = math.log1p(law.scv)
        return ciw.dists.Lognormal(math.log(law.mean) - variance / 2, math.sqrt(variance))
    return gamma(law.mean, law.scv)


def gamma(mean: float, scv: float) -> Any:
    return ciw.dists.Gamma(1 / scv, mean * scv)

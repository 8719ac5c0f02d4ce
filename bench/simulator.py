"""Requests simulated in a second, beside Ciw, in one run: a feed-forward path both ways, and a path that comes back.

Compiled before it is measured; of three rounds, in which each has its turn, the median. Under a minute.
"""

import statistics
import time
from collections.abc import Callable

import ciw
import numpy as np

from kvplan.laws import Gamma, LogNormal
from kvplan.simulate import run
from kvplan.simulate.memory import by_events
from kvplan.system import Balancing, Class, Pause, Station, System, Visit

ROUNDS, OURS, CIW = 3, 1_000_000, 20_000
RATE = 1000.0
TANDEM = ((2, 0.0014), (16, 0.0112), (8, 0.0056))  # servers, mean service: load 0.7, exponential


def forward() -> System:
    stations = tuple(Station(f"s{number}", servers) for number, (servers, _) in enumerate(TANDEM))
    visits = tuple(Visit(f"s{number}", Gamma(mean, 1.0)) for number, (_, mean) in enumerate(TANDEM))
    return System(RATE, stations, (Class("all", 1.0, visits),))


def there_and_back() -> System:
    """16 pods of one event loop each, visited before and after the cache."""
    pod = Visit("pod", LogNormal(0.0006, 0.5))
    steps = (pod, Pause("hop", LogNormal(0.0003, 0.3)), Visit("cache", LogNormal(0.00003, 0.5)), pod)
    stations = (Station("pod", pools=16, balancing=Balancing.LEAST_IN_FLIGHT), Station("cache", pools=4))
    return System(0.7 * 16 / 0.0012, stations, (Class("read", 1.0, steps),))


def by_ciw(requests: int) -> None:
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(RATE), None, None],
        service_distributions=[ciw.dists.Exponential(1 / mean) for _, mean in TANDEM],
        number_of_servers=[servers for servers, _ in TANDEM],
        routing=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]],
    )
    ciw.seed(1)
    ciw.Simulation(network).simulate_until_max_customers(requests)


def main() -> None:
    contestants: dict[str, tuple[int, Callable[[int], object]]] = {
        "Ciw, three stations": (CIW, by_ciw),
        "ours, three stations, station by station": (OURS, lambda n: run(forward(), requests=n, seed=1)),
        "ours, three stations, event by event": (
            OURS,
            lambda n: by_events(forward(), n, n // 10, np.random.default_rng(1)),
        ),
        "ours, pods visited twice, least in flight": (OURS, lambda n: run(there_and_back(), requests=n, seed=1)),
    }
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _, contestant in contestants.values():
        contestant(1000)
    for _ in range(ROUNDS):
        for name, (requests, contestant) in contestants.items():
            started = time.perf_counter()
            contestant(requests)
            rates[name].append(requests / (time.perf_counter() - started))
    base = statistics.median(rates["Ciw, three stations"])
    print(f"{'':42} {'requests/s':>12} {'x Ciw':>7}   of {ROUNDS} rounds, {OURS:,} requests each, Ciw {CIW:,}")
    for name, each in rates.items():
        print(f"{name:42} {statistics.median(each):12,.0f} {statistics.median(each) / base:7.1f}")


if __name__ == "__main__":
    main()

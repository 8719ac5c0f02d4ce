"""Paths drawn by seed, on which a test and bench/model_accuracy.py hold the latency model against simulation."""

from collections.abc import Iterator

import numpy as np

from kvplan import simulate
from kvplan.laws import LogNormal
from kvplan.system import Class, Station, System, Visit

RATE = 1000.0
BUSY = 0.85  # the highest load of every second path is below, of the others above, up to MOST
MOST = 0.95
_RUN = 2_000_000  # requests that one run holds in memory


def paths(seed: int, number: int) -> Iterator[System]:
    """2 to 5 stations with 1 to 32 servers, services lognormal with CV .3 to 1.5, loads unequal."""
    random = np.random.default_rng(seed)
    for each in range(number):
        top = random.uniform(0.5, BUSY) if each % 2 == 0 else random.uniform(BUSY, MOST)
        stages = int(random.integers(2, 6))
        loads = random.uniform(0.3, 1, stages) * top
        loads[random.integers(stages)] = top
        servers = np.round(2 ** random.uniform(0, 5, stages)).astype(int)
        cvs = random.uniform(0.3, 1.5, stages)
        names = [f"stage {stage}" for stage in range(1, stages + 1)]
        laws = [LogNormal(load * count / RATE, cv) for load, count, cv in zip(loads, servers, cvs, strict=True)]
        yield System(
            RATE,
            tuple(Station(name, int(count)) for name, count in zip(names, servers, strict=True)),
            (Class("all", 1.0, tuple(Visit(name, law) for name, law in zip(names, laws, strict=True))),),
        )


def simulated_p95(system: System, requests: int) -> tuple[float, float]:
    """-> (s, half of its 95 % confidence interval)."""
    runs = max(1, requests // _RUN)
    found = [simulate.run(system, requests=requests // runs, seed=seed) for seed in range(runs)]
    middles = [run.quantile(95) for run in found]
    margins = [(high - low) / 2 for low, high in (run.interval(95) for run in found)]
    return float(np.mean(middles)), float(np.linalg.norm(margins) / runs)

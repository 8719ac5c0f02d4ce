"""The latency model against simulation where requests come back to their pods, for every rule of balancing: random
systems that nothing was fitted to (bench/fitting/pods.py fits to others). Prints every system, and a Markdown table at
the end; some fifteen minutes of one core.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from drawn_pods import drawn, from_service, simulated

from kvplan.model import predict
from kvplan.system import Balancing, System

SEED = 4711
SYSTEMS = {Balancing.RANDOM: 50, Balancing.ROUND_ROBIN: 30, Balancing.POWER_OF_TWO: 30, Balancing.LEAST_IN_FLIGHT: 30}
SEEN_BY_PODS = 8  # of these, also from the first service on
REQUESTS = 1_000_000
PERCENTILES = (50, 95, 99)


def errors(system: System) -> list[float]:
    predicted = predict(system, percentiles=PERCENTILES).latency.quantiles
    found = simulated(system, PERCENTILES, REQUESTS)
    return [predicted[p] / known - 1 for p, known in zip(PERCENTILES, found, strict=True)]


def rows(balancing: Balancing) -> list[str]:
    whole, seen = [], []
    for number in range(SYSTEMS[balancing]):
        system = drawn(balancing, SEED, number)
        whole.append(errors(system))
        told = [f"{each:+.1%}" for each in whole[-1]]
        if number < SEEN_BY_PODS:
            seen.append(errors(from_service(system)))
            told += ["from the first service", *(f"{each:+.1%}" for each in seen[-1])]
        visit = system.classes[0].steps[0]
        load, cv = system.loads()["pod"], visit.law.scv**0.5
        line = f"{balancing} {number}: {system.station('pod').pools} pods, load {load:.2f}, CV {cv:.2f}:"
        print(line, *told, flush=True)
    return [row(balancing, "arrival", whole), row(balancing, "first service", seen)]


def row(balancing: Balancing, counted_from: str, found: list[list[float]]) -> str:
    middle, most = np.median(np.abs(found), axis=0), np.max(np.abs(found), axis=0)
    shown = (middle[0], middle[1], most[1], middle[2], most[2])
    return f"| {balancing} | {counted_from} | {len(found)} | {' | '.join(f'{each:.1%}' for each in shown)} |"


def main() -> None:
    with ProcessPoolExecutor(len(Balancing)) as processes:
        table = list(processes.map(rows, Balancing))
    print(f"\nErrors of the reads' percentiles, systems of seed {SEED}:\n")
    print("| balancing | counted from | systems | p50 median | p95 median | p95 worst | p99 median | p99 worst |")
    print("|---|---|---|---|---|---|---|---|")
    print(*(each for found in table for each in found), sep="\n")


if __name__ == "__main__":
    main()

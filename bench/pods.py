"""The latency model against simulation where requests come back to their pods, for every rule of balancing: random
systems that nothing was fitted to (bench/fitting/pods.py fits to others). Prints every system, and a Markdown table at
the end; some twenty-five minutes of one core.
"""

import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from drawn_pods import drawn, from_service, in_turns, simulated

from kvplan.model import predict
from kvplan.system import Balancing, System

SEED = 4711
SYSTEMS = {Balancing.RANDOM: 50, Balancing.ROUND_ROBIN: 30, Balancing.POWER_OF_TWO: 30, Balancing.LEAST_IN_FLIGHT: 30}
SEEN_BY_PODS = 8  # of these, also from the first service on
IN_TURNS = 20  # other systems, with pods that answer at the end of their event loop's turns
REQUESTS = 1_000_000
PERCENTILES = (50, 95, 99)


def errors(system: System) -> list[float]:
    predicted = predict(system, percentiles=PERCENTILES).latency.quantiles
    found = simulated(system, PERCENTILES, REQUESTS)
    return [predicted[p] / known - 1 for p, known in zip(PERCENTILES, found, strict=True)]


def rows(balancing: Balancing) -> list[str]:
    plain = [drawn(balancing, SEED, number) for number in range(SYSTEMS[balancing])]
    turning = [in_turns(drawn(balancing, SEED, number)) for number in range(1000, 1000 + IN_TURNS)]
    return [
        row(f"{balancing} | no | arrival", plain),
        row(f"{balancing} | no | first service", map(from_service, plain[:SEEN_BY_PODS])),
        row(f"{balancing} | yes | arrival", turning),
        row(f"{balancing} | yes | first service", map(from_service, turning[:SEEN_BY_PODS])),
    ]


def row(name: str, systems: Iterable[System]) -> str:
    found = []
    for system in systems:
        found.append(errors(system))
        load, cv = system.loads()["pod"], system.classes[0].steps[0].law.scv ** 0.5
        what = f"{name}: {system.station('pod').pools} pods, load {load:.2f}, CV {cv:.2f}:"
        print(what, *(f"{each:+.1%}" for each in found[-1]), flush=True)
    middle, most = np.median(np.abs(found), axis=0), np.max(np.abs(found), axis=0)
    shown = (middle[0], middle[1], most[1], middle[2], most[2])
    return f"| {name} | {len(found)} | {' | '.join(f'{each:.1%}' for each in shown)} |"


def main() -> None:
    with ProcessPoolExecutor(len(Balancing)) as processes:
        table = list(processes.map(rows, Balancing))
    print(f"\nErrors of the reads' percentiles, systems of seed {SEED}:\n")
    columns = (
        "balancing",
        "in turns",
        "counted from",
        "systems",
        "p50 median",
        "p95 median",
        "p95 worst",
        "p99 median",
        "p99 worst",
    )
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    print(*(each for found in table for each in found), sep="\n")


if __name__ == "__main__":
    main()

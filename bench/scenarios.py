"""How fast scenarios are played, and what brings back a small store after a flush: the packaged `herd`, several ways.

Compiled before it is measured. About a minute.
"""

import time

from kvplan.scenario.file import Scenario
from kvplan.scenario.packaged import packaged
from kvplan.scenario.play import play, with_protections

CASES: dict[str, tuple[int, tuple[str, ...]]] = {
    "none, no retries": (0, ()),
    "none, 3 retries": (3, ()),
    "coalescing, no retries": (0, ("coalescing",)),
    "coalescing, 3 retries": (3, ("coalescing",)),
    "bounded queue, no retries": (0, ("admission",)),
    "coalescing, bounded queue, 3 retries": (3, ("coalescing", "admission")),
    "the same with a retry budget": (3, ("coalescing", "admission", "retryBudget")),
}


def case(retries: int, protections: tuple[str, ...]) -> Scenario:
    herd = with_protections(packaged("herd"), protections)
    return herd.model_copy(update={"client": herd.client.model_copy(update={"retries": retries})})


def main() -> None:
    play(packaged("herd").model_copy(update={"duration": 5, "events": ()}))
    print(f"{'protection':38} {'failed after the flush':>22} {'recovered after':>16} {'attempts/s of CPU':>18}")
    for name, (retries, protections) in CASES.items():
        started = time.process_time()
        run = play(case(retries, protections))
        took = time.process_time() - started
        back = "not in 178 s" if run.recovered_after is None else f"{run.recovered_after} s"
        failed = 1 - run.goodput_of(slice(run.begin, None), 0)
        print(f"{name:38} {failed:22.2%} {back:>16} {run.attempts['attempts'] / took:18,.0f}")


if __name__ == "__main__":
    main()

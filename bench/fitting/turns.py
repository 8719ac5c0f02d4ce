"""Finds `BETWEEN` of kvplan.model.turns: how much of being held at the end of a turn a request loses, if it comes back.

The pods of bench/fitting/pods.py are simulated with turns and without. The difference of the means is what being held
costs; the three numbers have the least squares of the errors of it, in parts of the mean latency. Prints them, and how
far off they are; a quarter of an hour of two cores.

    python bench/fitting/turns.py
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.fitting.pods import designed, enough, gaps_of, pool_of

from kvplan.laws import Floats
from kvplan.model.balancing import Waits
from kvplan.model.turns import BETWEEN
from kvplan.simulate import run
from kvplan.system import Balancing, System

DESIGNS = 40  # of each rule
REQUESTS = 1_500_000  # at most


@dataclass(frozen=True, eq=False)
class Held:
    """What the requests of a class were found to lose (s), and their mean latency without."""

    balancing: Balancing
    waits: Waits
    gaps: tuple[float, ...]
    lost: float
    latency: float

    def error(self, between: Floats) -> float:
        constant, growth, later = between.tolist()
        known = self.waits.held(self.gaps, leaves=True, between=(constant, growth, later))
        return (known - self.lost) / self.latency


def found(balancing: Balancing) -> list[Held]:
    return [each for number, system in islice(enumerate(designed(balancing)), DESIGNS) for each in _of(system, number)]


def _of(plain: System, number: int) -> list[Held]:
    station = plain.stations[0]
    turning = replace(plain, stations=(replace(station, in_turns=True),))
    requests = enough(plain, REQUESTS)
    with_turns, without = (run(system, requests=requests, seed=number) for system in (turning, plain))
    waits = Waits(replace(pool_of(plain), in_turns=True))
    found = []
    for each in plain.classes:
        if not each.from_service and each.share > 0.01:
            latency = float(without.of(each.name).mean())
            lost = float(with_turns.of(each.name).mean()) - latency
            found.append(Held(station.balancing, waits, gaps_of(each), lost, latency))
    return found


def main() -> None:
    with ProcessPoolExecutor() as processes:
        known = [each for of_rule in processes.map(found, Balancing) for each in of_rule]

    def errors(between: Floats) -> Floats:
        return np.array([each.error(between) for each in known])

    between = np.round(least_squares(errors, np.array(BETWEEN)).x, 2)
    print(f"BETWEEN = {tuple(between.tolist())}")
    for balancing in Balancing:
        of_rule = [each for each in known if each.balancing is balancing]
        off, lost = [each.error(between) for each in of_rule], [each.lost / each.latency for each in of_rule]
        shown = (len(of_rule), *(np.sqrt(np.mean(np.square(values))) for values in (lost, off)), max(map(abs, off)))
        print(
            "{}: {} classes lose {:.1%} of their latency, known to {:.1%} (rms), {:.1%} at worst".format(
                balancing, *shown
            )
        )


if __name__ == "__main__":
    main()

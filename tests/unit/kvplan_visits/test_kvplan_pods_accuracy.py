"""The model against simulation where requests come back to their pods, on systems that it was not fitted to."""

from typing import Any

import numpy as np
import pytest
from drawn_pods import drawn, from_service, in_turns, simulated

from kvplan.laws import Gamma, LogNormal
from kvplan.model import COARSE, predict
from kvplan.simulate import run
from kvplan.system import Balancing, Class, Pause, Station, System, Visit

SEED = 1905
MOST = {Balancing.RANDOM: 0.08} | dict.fromkeys(
    (Balancing.ROUND_ROBIN, Balancing.POWER_OF_TWO, Balancing.LEAST_IN_FLIGHT), 0.10
)


def error(system: System, requests: int) -> float:
    (found,) = simulated(system, [95], requests)
    return abs(predict(system, percentiles=[95], resolution=COARSE).latency.quantiles[95] / found - 1)


def errors_of(counted: Any, name: str, systems: list[System]) -> tuple[list[float], list[float]]:
    """From the arrival, and of some as pods see it."""
    requests = counted(300_000, 1_000_000)
    errors = [error(system, requests) for system in counted.told(systems, "systems")]
    seen = [error(from_service(system), requests) for system in systems[: counted(1, 10)]]
    counted.tell(
        f"{name}: {len(errors)} systems, |p95 error| median {np.median(errors):.1%}, worst {max(errors):.1%}; "
        f"as pods see it, median {np.median(seen):.1%}, worst {max(seen):.1%}"
    )
    return errors, seen


@pytest.mark.counted
@pytest.mark.parametrize("balancing", list(Balancing))
def test_the_reads_p95_is_close_to_the_simulated_one(counted: Any, balancing: Balancing) -> None:
    systems = [drawn(balancing, SEED, number) for number in range(counted(3, 40))]
    errors, seen = errors_of(counted, f"{balancing}", systems)
    assert max(errors) <= MOST[balancing]
    assert max(seen) <= MOST[balancing]
    if balancing is Balancing.RANDOM:
        assert np.median(errors) <= 0.03


@pytest.mark.counted
@pytest.mark.parametrize("balancing", list(Balancing))
def test_so_it_is_where_pods_answer_at_the_end_of_a_turn(counted: Any, balancing: Balancing) -> None:
    systems = [in_turns(drawn(balancing, SEED, number)) for number in range(100, 100 + counted(2, 20))]
    errors, seen = errors_of(counted, f"{balancing} in turns", systems)
    assert max(errors) <= 0.10
    assert max(seen) <= 0.10


@pytest.mark.parametrize("balancing", [each for each in Balancing if each is not Balancing.RANDOM])
def test_two_pods_are_as_well_known_as_many(balancing: Balancing) -> None:
    visit = Visit("pod", LogNormal(0.0006, 0.5))
    hit = Class("hit", 1.0, (visit, Pause("cache", Gamma(0.0005, 0.5)), visit))
    system = System(0.7 / 0.0006, (Station("pod", pools=2, balancing=balancing),), (hit,))
    predicted = predict(system)
    assert predicted.beyond is None
    assert predicted.latency.quantiles[95] == pytest.approx(
        run(system, requests=200_000, seed=3).quantile(95), rel=0.05
    )

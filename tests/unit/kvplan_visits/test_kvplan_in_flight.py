"""How many requests are at a server, against what is known exactly."""

import numpy as np
import pytest

from kvplan.laws import Floats
from kvplan.model import in_flight
from kvplan.system import Balancing


def found(
    balancing: Balancing, *, pools: int = 10, load: float = 0.7, visits: float = 1.0, away: float = 0.0
) -> Floats:
    return in_flight.found(balancing=balancing, pools=pools, load=load, visits=visits, away=away)


@pytest.mark.parametrize("balancing", [Balancing.POWER_OF_TWO, Balancing.LEAST_IN_FLIGHT])
@pytest.mark.parametrize("load", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("visits", [1.0, 2.4])
@pytest.mark.parametrize("away", [0.0, 3.0, 1e5])
def test_it_is_a_probability(balancing: Balancing, load: float, visits: float, away: float) -> None:
    shares = found(balancing, load=load, visits=visits, away=away)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1, abs=1e-5)


def test_one_pool_is_an_ordinary_queue() -> None:
    seen = found(Balancing.LEAST_IN_FLIGHT, pools=1, load=0.6)
    assert seen[:20] == pytest.approx(0.4 * 0.6 ** np.arange(20), abs=1e-9)


def test_of_two_choices_few_queues_are_long() -> None:
    """Mitzenmacher 2001: the share of pools that hold n or more is load^(2^n - 1), and both must be such."""
    seen = found(Balancing.POWER_OF_TWO, load=0.8)
    at_least = np.cumsum(seen[::-1])[::-1]
    assert at_least[:5] == pytest.approx([0.8 ** (2 * (2**n - 1)) for n in range(5)], abs=1e-5)


def test_with_many_pools_the_least_in_flight_is_idle() -> None:
    assert found(Balancing.LEAST_IN_FLIGHT, pools=200, load=0.7)[0] == pytest.approx(1, abs=1e-5)


def test_requests_that_are_long_away_meet_a_queue_as_if_pools_were_drawn() -> None:
    """What is in flight then says little about who is at the server."""
    for balancing in (Balancing.POWER_OF_TWO, Balancing.LEAST_IN_FLIGHT):
        near, far = (found(balancing, visits=2.0, away=away)[0] for away in (0.5, 100.0))
        assert near > far == pytest.approx(1 - 0.7, abs=0.03)

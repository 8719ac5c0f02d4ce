"""Laws on a grid, against laws whose sums, races and mixtures are known exactly."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvplan.laws import Deterministic, Empirical, Gamma, Law, LogNormal
from kvplan.model.grid import COARSE, FINE, Mass, covering, in_a_row, mixture, of_law, remaining

EXPONENTIAL = Gamma(0.005, 1.0)
LAWS = [
    EXPONENTIAL,
    LogNormal(0.004, 0.8),
    Gamma(0.004, 0.4),
    Empirical((0.0, 0.001, 0.004, 0.01), (1.0, 3.0, 2.0)),
]


def mean_on(mass: Mass) -> float:
    return float(mass.values @ mass.grid.nodes)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 0.999])
def test_a_law_keeps_its_quantiles_on_the_grid(law: Law, share: float) -> None:
    exact = float(law.quantile(np.array([share]))[0])
    assert of_law(law, covering(0.1)).quantile(share) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("law", [*LAWS, Deterministic(0.0033), LogNormal(0.00002, 0.5)])
def test_a_law_keeps_its_mean_on_the_coarsest_grid(law: Law) -> None:
    assert mean_on(of_law(law, covering(0.2, 64))) == pytest.approx(law.mean, rel=1e-6)


def test_three_exponential_times_in_a_row_are_an_erlang_time() -> None:
    one = of_law(EXPONENTIAL, covering(0.08))
    exact = Gamma(0.015, 3**-0.5)
    for share in (0.01, 0.5, 0.95, 0.999):
        assert in_a_row([one, one, one]).quantile(share) == pytest.approx(
            float(exact.quantile(np.array([share]))[0]), rel=1e-4
        )


def test_what_lies_behind_the_end_does_not_blur_what_lies_before() -> None:
    """A third of the sum is behind the end of this grid."""
    one = of_law(EXPONENTIAL, covering(0.018))
    exact = Gamma(0.015, 3**-0.5)
    assert in_a_row([one, one, one]).within(0.01) == pytest.approx(float(exact.cdf(np.array([0.01]))[0]), rel=1e-4)


@pytest.mark.parametrize(("needed", "copies"), [(1, 2), (2, 2), (2, 3), (3, 3)])
def test_order_statistics_of_exponential_times_have_their_known_means(needed: int, copies: int) -> None:
    """Renyi 1953: the mean of the k-th of n is the sum of mean / n, mean / (n - 1), …, k terms."""
    known = sum(0.005 / (copies - i) for i in range(needed))
    assert of_law(EXPONENTIAL, covering(0.08)).kth(needed, copies).mean == pytest.approx(known, rel=1e-4)


def test_both_of_two_have_the_square_and_two_of_three_the_cubic() -> None:
    one = of_law(EXPONENTIAL, covering(0.08))
    share = one.within(0.007)
    assert one.kth(2, 2).within(0.007) == pytest.approx(share**2)
    assert one.kth(2, 3).within(0.007) == pytest.approx(3 * share**2 - 2 * share**3)


def test_a_hedge_ends_with_the_first_of_the_two() -> None:
    one = of_law(EXPONENTIAL, covering(0.08))
    hedged = one.or_after(0.004, one)
    assert hedged.tail(0.003) == pytest.approx(math.exp(-0.6), rel=1e-4)
    assert hedged.tail(0.010) == pytest.approx(math.exp(-2) * math.exp(-1.2), rel=1e-4)


def test_what_remains_of_an_exponential_service_is_as_long_as_a_whole_one() -> None:
    left = remaining([(1.0, EXPONENTIAL)], covering(0.08))
    assert left.mean == pytest.approx(0.005)
    assert left.quantile(0.95) == pytest.approx(0.005 * math.log(20), rel=1e-4)


def test_what_remains_of_a_fixed_service_is_spread_evenly() -> None:
    left = remaining([(1.0, Deterministic(0.01))], covering(0.08))
    assert [left.quantile(share) for share in (0.1, 0.5, 0.9)] == pytest.approx([0.001, 0.005, 0.009], rel=1e-3)


def test_long_services_are_met_under_way_more_often() -> None:
    """Half the services last 1 ms, half 9 ms: 9 in 10 moments are in a long one."""
    left = remaining([(1.0, Deterministic(0.001)), (1.0, Deterministic(0.009))], covering(0.02))
    assert left.mean == pytest.approx(0.1 * 0.0005 + 0.9 * 0.0045)
    assert mean_on(left) == pytest.approx(left.mean, rel=1e-4)


@given(
    weights=st.lists(st.floats(0.01, 1), min_size=2, max_size=4),
    means=st.lists(st.floats(1e-5, 0.01), min_size=4, max_size=4),
)
def test_mixing_keeps_the_mass_and_the_mean(weights: list[float], means: list[float]) -> None:
    grid = covering(0.3, 1024)
    total = sum(weights)
    parts = [(weight / total, of_law(LogNormal(mean, 0.5), grid)) for weight, mean in zip(weights, means, strict=False)]
    mixed = mixture(parts)
    assert mixed.cumulated[-1] == pytest.approx(1.0, abs=1e-9)
    assert mean_on(mixed) == pytest.approx(mixed.mean, rel=1e-9)


@pytest.mark.parametrize("share", [0.9991, 0.99999])
def test_a_quantile_behind_the_end_follows_the_tail(share: float) -> None:
    one = of_law(EXPONENTIAL, covering(0.005 * math.log(1000)))
    assert one.quantile(share) == pytest.approx(0.005 * -math.log(1 - share), rel=1e-3)
    assert one.tail(one.quantile(share)) == pytest.approx(1 - share, rel=1e-6)


def test_a_coarse_grid_is_close_to_a_fine_one() -> None:
    def path(size: int) -> float:
        grid = covering(0.2, size)
        return in_a_row([of_law(law, grid) for law in LAWS]).quantile(0.95)

    assert path(COARSE) == pytest.approx(path(FINE), rel=1e-3)

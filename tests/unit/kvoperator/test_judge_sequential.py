"""The anytime-valid tests: how rarely they accuse a good canary, how surely they find a bad one."""

from collections.abc import Iterator
from math import comb, isfinite
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvoperator.api.status import Counts
from kvoperator.core.judge.sequential import canary_is_worse, share_is_exceeded

BOUND = 2.0  # log10(1 / 0.01)


def looks(
    random: Random, weight: float, canary: float, stable: float, a_look: int, count: int
) -> Iterator[tuple[Counts, Counts]]:
    """Cumulative counts of both arms; each request goes to the canary with chance `weight`, as a gateway deals them."""
    totals, bads = [0, 0], [0, 0]
    for _ in range(count):
        for _ in range(a_look):
            arm = 0 if random.random() < weight else 1
            totals[arm] += 1
            bads[arm] += random.random() < (canary, stable)[arm]
        yield Counts(total=totals[0], bad=bads[0]), Counts(total=totals[1], bad=bads[1])


def is_failed(canary: Counts, stable: Counts, allowed: float) -> bool:
    """As verdicts.py has it."""
    worse = canary.bad * stable.total > stable.bad * canary.total and canary.bad > allowed * canary.total
    return worse and canary_is_worse(canary, stable, allowed) >= BOUND


def part_failed(seed: int, runs: int, allowed: float, **world: float) -> float:
    random = Random(seed)
    settings = {"a_look": 10, "count": 200} | world
    failed = sum(any(is_failed(c, s, allowed) for c, s in looks(random, **settings)) for _ in range(runs))  # type: ignore[arg-type]
    return failed / runs


@pytest.mark.parametrize("weight", [0.05, 0.25, 0.5])
@pytest.mark.parametrize("share", [0.04, 0.2])
def test_two_equal_revisions_looked_at_200_times_are_told_apart_in_at_most_1_percent_of_400_runs(
    weight: float, share: float
) -> None:
    """Both below and far above the allowed share: above, nothing but the evidence protects the canary."""
    assert part_failed(11, 400, allowed=0.05, weight=weight, canary=share, stable=share) <= 0.01


@pytest.mark.parametrize(
    ("canary", "stable"),
    [
        (0.10, 0.02),  # twice what is allowed, stable well within
        (0.10, 0.03),
        (0.20, 0.10),  # twice stable, which is itself beyond the objective
    ],
)
def test_a_slow_share_of_twice_the_measure_is_caught_within_900_requests_an_arm(canary: float, stable: float) -> None:
    caught = part_failed(7, 200, allowed=0.05, weight=0.5, canary=canary, stable=stable, a_look=20, count=90)
    assert caught >= 0.95


def test_a_canary_that_is_slow_throughout_is_caught_within_50_requests_of_its_own() -> None:
    assert part_failed(3, 100, allowed=0.05, weight=0.05, canary=0.9, stable=0.02, a_look=100, count=10) == 1.0


def test_a_bake_within_the_objective_is_failed_in_at_most_1_percent_of_runs() -> None:
    random = Random(5)
    failed = sum(
        any(share_is_exceeded(canary, 0.05) >= BOUND for canary, _ in looks(random, 1.0, 0.05, 0.0, 10, 200))
        for _ in range(400)
    )
    assert failed / 400 <= 0.01


@pytest.mark.parametrize(("canary_n", "stable_n"), [(1, 1), (5, 30), (20, 20)])
@pytest.mark.parametrize("share", [0.001, 0.05, 0.3, 0.9])
def test_the_mean_of_the_e_value_is_at_most_1_when_both_are_equal(canary_n: int, stable_n: int, share: float) -> None:
    """Exactly, by going through every outcome."""

    def chance(bad: int, total: int) -> float:
        return float(comb(total, bad) * share**bad * (1 - share) ** (total - bad))

    mean = sum(
        chance(c, canary_n)
        * chance(s, stable_n)
        * 10 ** canary_is_worse(Counts(total=canary_n, bad=c), Counts(total=stable_n, bad=s), 0.05)
        for c in range(canary_n + 1)
        for s in range(stable_n + 1)
    )
    assert mean <= 1 + 1e-9


@given(
    total=st.floats(0, 1e9),
    bad=st.floats(0, 1),
    other=st.floats(0, 1e9),
    other_bad=st.floats(0, 1),
    allowed=st.floats(1e-6, 0.99),
)
def test_any_counts_have_a_finite_value(
    total: float, bad: float, other: float, other_bad: float, allowed: float
) -> None:
    canary, stable = Counts(total=total, bad=bad * total), Counts(total=other, bad=other_bad * other)
    assert isfinite(canary_is_worse(canary, stable, allowed))
    assert isfinite(share_is_exceeded(canary, allowed))


def test_more_bad_requests_of_the_canary_are_more_evidence() -> None:
    values = [canary_is_worse(Counts(total=200, bad=b), Counts(total=800, bad=20), 0.05) for b in range(5, 100, 5)]
    assert values == sorted(values)

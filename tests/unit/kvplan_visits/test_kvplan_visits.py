"""Waits of requests that come back to their pod, and of pods that are not chosen at random."""

import math
from dataclasses import replace

import numpy as np
import pytest

from kvplan.laws import Gamma, LogNormal
from kvplan.model import COARSE, predict
from kvplan.model.balancing import Pool, Stay, Sum, Waits
from kvplan.model.fitted import FITTED
from kvplan.model.grid import covering
from kvplan.model.visits import law_of
from kvplan.system import Balancing, Class, Pause, Station, System, Visit

SERVICE = Gamma(1.0, 1.0)
HIT = Stay(0.8, (SERVICE, SERVICE), (2.0,))
MISS = Stay(0.2, (SERVICE, SERVICE, SERVICE), (2.0, 8.0))
LOADS = np.linspace(0.05, 0.95, 37)


def pool(balancing: Balancing, load: float = 0.7, *stays: Stay, count: int = 8) -> Pool:
    return Pool(balancing, count, load, 1.0, stays or (HIT, MISS))


def mean_wait(balancing: Balancing, load: float = 0.7, *, count: int = 8, cv: float = 1.0) -> float:
    law = LogNormal(1.0, cv)
    stays = (replace(HIT, services=(law, law)), replace(MISS, services=(law, law, law)))
    return Waits(pool(balancing, load, *stays, count=count)).one.mean


def test_one_visit_waits_as_pollaczek_and_khinchine_say() -> None:
    law = LogNormal(2.0, 1.5)
    once = pool(Balancing.RANDOM, 0.6, Stay(1.0, (law,), ()))
    mean, waiting, _ = once.first_answer
    assert mean == pytest.approx(0.6 * 2.0 * (1 + law.scv) / (2 * (1 - 0.6)))
    assert waiting == 0.6


@pytest.mark.parametrize("balancing", list(Balancing))
@pytest.mark.parametrize("count", [2, 8, 64])
@pytest.mark.parametrize("cv", [0.3, 1.0, 1.5])
def test_the_busier_the_longer(balancing: Balancing, count: int, cv: float) -> None:
    means = [mean_wait(balancing, load, count=count, cv=cv) for load in LOADS]
    assert means == sorted(means)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_who_knows_more_waits_less(load: float) -> None:
    best, middle, worst = (
        mean_wait(balancing, load)
        for balancing in (Balancing.LEAST_IN_FLIGHT, Balancing.POWER_OF_TWO, Balancing.RANDOM)
    )
    assert best < middle < worst


def test_the_sooner_a_request_is_back_the_more_it_waits_again() -> None:
    waits = Waits(pool(Balancing.RANDOM, 0.8))
    spreads = [waits.of([gap], [1.0, 1.0]).variance for gap in (0.1, 1.0, 10.0, 100.0)]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] > 1.2 * spreads[-1]


def in_turns(pool: Pool) -> Waits:
    return Waits(replace(pool, in_turns=True))


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_who_comes_once_is_held_by_those_behind_it_in_its_turn(load: float) -> None:
    once = pool(Balancing.RANDOM, load, Stay(1.0, (SERVICE,), ()))
    assert in_turns(once).one.mean / Waits(once).one.mean == pytest.approx(1 + load / (1 + load), rel=0.02)


@pytest.mark.parametrize("load", [0.3, 0.9])
def test_being_held_on_the_way_costs_more_the_later_a_request_is_back(load: float) -> None:
    waits = in_turns(pool(Balancing.RANDOM, load))
    last = waits.held([], leaves=True)
    held = [waits.held([gap], leaves=True) for gap in (0.0, 0.1, 1.0, 10.0, 1000.0)]
    assert held[0] == last
    assert held == sorted(held)
    assert held[-1] < 2 * last
    assert waits.held([1.0], leaves=False) == pytest.approx(held[2] - last)


def test_turns_do_not_make_anybody_wait_who_would_not() -> None:
    turning, plain = (
        waits.of([2.0], [1.0, 1.0]) for waits in (in_turns(pool(Balancing.RANDOM)), Waits(pool(Balancing.RANDOM)))
    )
    assert turning.none == plain.none
    assert turning.mean > plain.mean


def test_what_counts_from_the_first_service_lacks_one_wait() -> None:
    waits = Waits(pool(Balancing.RANDOM))
    whole, later = (waits.of([2.0], [1.0, 1.0], skipped=skipped) for skipped in (0, 1))
    assert later.mean == pytest.approx(whole.mean / 2, rel=0.1)
    assert later.variance < whole.variance
    assert later.none > whole.none


def test_uneven_arrivals_lengthen_waits() -> None:
    for balancing in Balancing:
        even, uneven = (Waits(replace(pool(balancing), arrivals=arrivals)).one.mean for arrivals in (0.5, 2.0))
        assert even < uneven


def test_the_law_has_the_moments_it_is_given() -> None:
    law = law_of(Sum(mean=2.0, variance=9.0, none=0.3), covering(60.0))
    nodes = law.grid.nodes
    assert law.values[0] == pytest.approx(0.3, abs=0.01)
    assert law.values @ nodes == pytest.approx(2.0, rel=1e-3)
    assert law.values @ nodes**2 == pytest.approx(13.0, rel=1e-3)


@pytest.mark.parametrize("balancing", list(Balancing))
@pytest.mark.parametrize("load", [1e-6, 0.9999])
@pytest.mark.parametrize("count", [2, 2000])
@pytest.mark.parametrize("gap", [0.0, 1e6])
def test_extremes_give_numbers(balancing: Balancing, load: float, count: int, gap: float) -> None:
    found = Waits(pool(balancing, load, Stay(1.0, (SERVICE, SERVICE), (gap,)), count=count)).of([gap], [1.0, 1.0])
    assert all(math.isfinite(each) and each >= 0 for each in (found.mean, found.variance, found.none))


def test_every_rule_is_fitted() -> None:
    assert set(FITTED) == {balancing.value for balancing in Balancing}


@pytest.mark.parametrize(
    ("station", "load", "reason"),
    [
        (Station("pod", 1, 8, Balancing.ROUND_ROBIN), 0.9, None),
        (Station("pod", 1, 3, Balancing.RANDOM), 0.9, None),
        (Station("pod", 1, 8), 0.94, "has a load of 0.940, above 0.93"),
        (Station("pod", 2, 8, Balancing.LEAST_IN_FLIGHT), 0.5, "chooses pools of 2 servers"),
    ],
)
def test_it_says_what_it_was_not_held_against(station: Station, load: float, reason: str | None) -> None:
    steps = (Visit("pod", SERVICE), Pause("store", SERVICE), Visit("pod", SERVICE))
    rate = load * station.pools * station.servers / 2
    said = predict(System(rate, (station,), (Class("all", 1.0, steps),)), resolution=COARSE).beyond
    assert said is None if reason is None else said is not None and reason in said

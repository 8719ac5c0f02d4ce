"""Waits, against queues that are solved exactly."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvplan.laws import Deterministic, Gamma, Law, LogNormal
from kvplan.model.grid import Mass, covering, in_a_row, of_law
from kvplan.model.queues import carried, erlang_c, markov_wait, mean_wait, wait, waiting_share, weight_of_law

EXPONENTIAL = Gamma(0.01, 1.0)


def waited(load: float, servers: int, law: Law, *, arrivals: float = 1.0, end: float = 0.4) -> Mass:
    return wait(load, servers, arrivals, [(1.0, law)], covering(end))


@pytest.mark.parametrize(
    ("load", "servers", "known"),
    [(0.5, 1, 0.5), (0.5, 2, 1 / 3), (0.75, 2, 9 / 14), (2 / 3, 3, 4 / 9), (0.8, 10, 0.40918)],
)
def test_erlang_c_has_its_tabled_values(load: float, servers: int, known: float) -> None:
    assert erlang_c(load, servers) == pytest.approx(known, rel=1e-4)


def test_erlang_c_of_very_many_servers_is_a_number() -> None:
    assert erlang_c(0.999, 100_000) == pytest.approx(0.6687, abs=0.02)
    assert erlang_c(0.5, 100_000) == 0.0


@pytest.mark.parametrize("servers", [1, 2, 8, 32])
def test_with_exponential_services_the_wait_is_that_of_m_m_c(servers: int) -> None:
    """P(wait > t) = C e^(-m (1 - load) t / service)."""
    mass = waited(0.8, servers, EXPONENTIAL)
    assert mass.mean == pytest.approx(markov_wait(0.8, servers, 0.01))
    for time in (0.001, 0.005, 0.02):
        known = erlang_c(0.8, servers) * math.exp(-servers * 0.2 * time / 0.01)
        assert mass.tail(time) == pytest.approx(known, rel=1e-3, abs=1e-9)


def test_with_one_server_the_sojourn_is_exponential() -> None:
    grid = covering(0.4)
    sojourn = in_a_row([wait(0.7, 1, 1.0, [(1.0, EXPONENTIAL)], grid), of_law(EXPONENTIAL, grid)])
    for share in (0.1, 0.5, 0.95, 0.999):
        assert sojourn.quantile(share) == pytest.approx(-0.01 / 0.3 * math.log(1 - share), rel=1e-4)


@pytest.mark.parametrize("time", [0.003, 0.012, 0.025, 0.04])
def test_with_one_server_and_fixed_services_the_wait_is_that_of_m_d_1(time: float) -> None:
    """Erlang 1909: P(wait <= t) = (1 - load) sum over k <= t / service of e^u (-u)^k / k!, u = load t / service - k
    load."""
    load = 0.7
    known = (1 - load) * sum(
        math.exp(load * (time / 0.01 - k)) * (-load * (time / 0.01 - k)) ** k / math.factorial(k)
        for k in range(int(time / 0.01) + 1)
    )
    assert waited(load, 1, Deterministic(0.01)).within(time) == pytest.approx(known, rel=2e-4)


@pytest.mark.parametrize("law", [LogNormal(0.01, 0.4), LogNormal(0.01, 1.5), Gamma(0.01, 0.7)])
def test_with_one_server_the_mean_wait_is_pollaczeks_and_khinchines(law: Law) -> None:
    mass = waited(0.8, 1, law, end=4.0)
    known = 0.8 * 0.01 * (1 + law.scv) / 2 / 0.2
    assert mass.mean == pytest.approx(known)
    assert float(mass.values @ mass.grid.nodes) == pytest.approx(known, rel=1e-3)


@pytest.mark.parametrize("servers", [2, 4, 8, 16])
@pytest.mark.parametrize("load", [0.7, 0.85, 0.95])
def test_with_fixed_services_the_mean_wait_is_near_that_of_m_d_m(servers: int, load: float) -> None:
    assert mean_wait(load, servers, 1.0, 0.0) == pytest.approx(_crommelin(load, servers), rel=0.03)


def _crommelin(load: float, servers: int) -> float:
    """Mean wait of M/D/m in services (Crommelin 1932): one service later, the number in the system is what was left
    over and a Poisson number more; then Little's law."""
    offered, size = load * servers, 400
    arrived = np.array([math.exp(-offered + k * math.log(offered) - math.lgamma(k + 1)) for k in range(size)])
    held = np.zeros(size)
    held[0] = 1.0
    for _ in range(1000):
        left = np.concatenate([[held[: servers + 1].sum()], held[servers + 1 :]])
        held = np.convolve(left, arrived)[:size]
    return float(held @ np.maximum(np.arange(size) - servers, 0) / offered)


def test_evenly_spaced_fixed_work_never_waits() -> None:
    assert waited(0.9, 1, Deterministic(0.01), arrivals=0.0).quantile(0.999) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("servers", [1, 4, 32])
@pytest.mark.parametrize("arrivals", [0.3, 1.0, 2.0])
def test_what_waits_and_how_long_fit_together_on_the_grid(servers: int, arrivals: float) -> None:
    mass = waited(0.8, servers, LogNormal(0.01, 0.9), arrivals=arrivals, end=1.0)
    assert float(mass.values @ mass.grid.nodes) == pytest.approx(mass.mean, rel=1e-3)
    assert mass.tail(0.0) == pytest.approx(waiting_share(0.8, servers, arrivals, 0.81), abs=0.01)


@given(
    load=st.floats(0.02, 0.97),
    more=st.floats(0.001, 0.02),
    servers=st.sampled_from([1, 2, 5, 16, 64]),
    cv=st.floats(0.1, 1.5),
    arrivals=st.floats(0.2, 2.0),
)
def test_waits_grow_with_the_load(load: float, more: float, servers: int, cv: float, arrivals: float) -> None:
    low, high = (mean_wait(each, servers, arrivals, cv**2) for each in (load, load + more))
    assert low < high


def test_one_server_sees_the_whole_law_of_its_services_and_many_see_little_of_it() -> None:
    assert weight_of_law(0.5, 1) == 1.0
    assert weight_of_law(0.5, 64) < 0.05
    assert weight_of_law(0.99, 64) > 0.98


def test_a_queue_passes_on_what_lasts_longer_than_its_memory() -> None:
    short, long = carried(np.array([1e-4, 1e4]))
    assert short == pytest.approx(0.0, abs=0.02)
    assert long == pytest.approx(1.0, abs=0.001)

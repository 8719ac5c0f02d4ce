"""Simulated queues, against those that are solved exactly."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from kvplan.laws import Deterministic, Gamma, Law, LogNormal
from kvplan.simulate import Run, run
from kvplan.system import Balancing, Class, Station, System, Visit

EXPONENTIAL = Gamma(1.0, 1.0)


def queue(load: float, law: Law, *, servers: int = 1, scv: float = 1.0, in_turns: bool = False) -> Run:
    station = Station("a", servers, in_turns=in_turns)
    system = System(load * servers / law.mean, (station,), (one_visit(law),), scv)
    return run(system, requests=400_000, seed=1)


def one_visit(law: Law) -> Class:
    return Class("all", 1.0, (Visit("a", law),))


def agrees(shown: Run, known: float, percentile: float | None = None) -> bool:
    """Within twice the half width of the 95 % interval, which chance leaves once in 3000 times."""
    low, high = shown.interval(percentile)
    return abs(known - (low + high) / 2) < high - low and high - low < known / 5


def erlang_c(load: float, servers: int) -> float:
    offered = load * servers
    terms = [offered**k / math.factorial(k) for k in range(servers + 1)]
    last = terms[-1] / (1 - load)
    return last / (sum(terms[:-1]) + last)


def m_m_c_quantile(load: float, servers: int, share: float) -> float:
    """Of wait and exponential service of mean 1: C of them wait, exponentially with rate a = servers (1 - load)."""
    waiting, a = erlang_c(load, servers), servers * (1 - load)
    both = (lambda t: (math.exp(-a * t) - a * math.exp(-t)) / (1 - a)) if a != 1 else (lambda t: (1 + t) * math.exp(-t))
    return float(brentq(lambda t: (1 - waiting) * math.exp(-t) + waiting * both(t) - (1 - share), 0, 100))


def test_with_one_server_the_sojourn_is_exponential() -> None:
    shown = queue(0.7, EXPONENTIAL)
    assert agrees(shown, 1 / 0.3)
    assert agrees(shown, math.log(20) / 0.3, 95)
    assert agrees(shown, math.log(100) / 0.3, 99)
    assert shown.within(1.0) == pytest.approx(1 - math.exp(-0.3), abs=0.01)


@pytest.mark.parametrize("servers", [2, 8, 32])
def test_more_servers_are_m_m_c(servers: int) -> None:
    shown = queue(0.85, EXPONENTIAL, servers=servers)
    wait = erlang_c(0.85, servers) / (servers * 0.15)
    assert agrees(shown, 1 + wait)
    assert agrees(shown, m_m_c_quantile(0.85, servers, 0.95), 95)
    assert shown.waits["a"] == pytest.approx(shown.mean - 1, abs=0.005)
    assert shown.utilisation["a"] == pytest.approx(0.85, rel=0.01)


@pytest.mark.parametrize("law", [Deterministic(1.0), LogNormal(1.0, 0.5), LogNormal(1.0, 1.5), Gamma(1.0, 0.3)])
def test_the_mean_wait_of_any_law_is_pollaczek_and_khinchines(law: Law) -> None:
    assert agrees(queue(0.7, law), 1 + 0.7 / 0.3 * (1 + law.scv) / 2)


def test_turns_add_what_came_while_the_turn_before_was_served() -> None:
    """Who comes in a turn, of which T is still to go, waits for T and for those who came before him, as many as after
    him, (load x T) on average: so those after him, who leave with him, add load / (1 + load) of his wait."""
    shown = queue(0.7, EXPONENTIAL, in_turns=True)
    assert agrees(shown, 1 + 0.7 / 0.3 * (1 + 0.7 / 1.7))
    assert shown.waits["a"] == pytest.approx(0.7 / 0.3, rel=0.03)


@pytest.mark.parametrize("scv", [0.25, 4.0])
def test_uneven_and_even_arrivals_are_g_m_1(scv: float) -> None:
    """Mean 1 / (1 - s), where s solves s = E[e^-(1 - s) T] for the time T between arrivals, which is gamma."""
    mean = 1 / 0.7
    s = brentq(lambda s: (1 + (1 - s) * mean * scv) ** (-1 / scv) - s, 0, 0.9999)
    shown = queue(0.7, EXPONENTIAL, scv=scv)
    assert agrees(shown, 1 / (1 - s))
    assert agrees(shown, math.log(20) / (1 - s), 95)


def test_arrivals_without_variation_come_like_clockwork() -> None:
    assert set(queue(0.7, Deterministic(1.0), scv=0.0).latencies.round(9)) == {1.0}


def test_in_turn_each_of_n_pools_sees_erlang_arrivals() -> None:
    pools, load = 4, 0.8
    station = Station("a", pools=pools, balancing=Balancing.ROUND_ROBIN)
    shown = run(System(load * pools, (station,), (one_visit(EXPONENTIAL),)), requests=400_000, seed=2)
    s = brentq(lambda s: (load * pools / (load * pools + 1 - s)) ** pools - s, 0, 0.9999)
    assert agrees(shown, 1 / (1 - s))
    assert agrees(shown, math.log(20) / (1 - s), 95)


def test_random_pools_are_queues_of_their_own() -> None:
    shown = run(System(0.7 * 16, (Station("a", pools=16),), (one_visit(EXPONENTIAL),)), requests=400_000, seed=3)
    assert agrees(shown, math.log(20) / 0.3, 95)


def test_two_pools_least_in_flight_join_the_shorter_queue() -> None:
    station = Station("a", pools=2, balancing=Balancing.LEAST_IN_FLIGHT)
    shown = run(System(1.4, (station,), (one_visit(EXPONENTIAL),)), requests=400_000, seed=4)
    assert agrees(shown, shorter_queue_mean(1.4))


def shorter_queue_mean(rate: float, most: int = 40) -> float:
    """Mean sojourn with two exponential servers of rate 1, by power iteration of the uniformised chain."""
    share = np.zeros((most, most))
    share[0, 0] = 1.0
    i, j = np.indices(share.shape)
    first = np.where(i < j, 1.0, np.where(i == j, 0.5, 0.0)) * rate / (rate + 2)
    second = np.where(j < i, 1.0, np.where(i == j, 0.5, 0.0)) * rate / (rate + 2)
    for _ in range(3000):
        after = np.zeros_like(share)
        after[1:] += (share * first)[:-1]
        after[:, 1:] += (share * second)[:, :-1]
        after[:-1] += share[1:] / (rate + 2)
        after[:, :-1] += share[:, 1:] / (rate + 2)
        after[0] += share[0] / (rate + 2)
        after[:, 0] += share[:, 0] / (rate + 2)
        share = after / after.sum()
    return float((share * (i + j)).sum() / rate)

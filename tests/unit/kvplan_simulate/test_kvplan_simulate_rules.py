"""The rules that `system` states, each in a scenario that shows no other."""

import math

import numpy as np
import pytest

from kvplan.errors import InputError, UnstableError
from kvplan.laws import Deterministic, Empirical, Gamma, LogNormal
from kvplan.simulate import Run, run
from kvplan.system import Balancing, Class, Pause, Station, Step, System, Visit

EXPONENTIAL = Gamma(1.0, 1.0)
MOSTLY_SHORT = Empirical((0.09, 0.11, 10.0, 10.2), (0.9, 0.0, 0.1))  # a tenth of all gets stuck for 10 s


def clockwork(every: float, station: Station, *steps: Step, **rules: object) -> System:
    """Requests of one class, `every` so many seconds."""
    return System(1 / every, (station,), (Class("all", 1.0, steps),), scv=0.0, **rules)  # type: ignore[arg-type]


def played(system: System, requests: int = 1000, seed: int = 1) -> Run:
    return run(system, requests=requests, seed=seed, warmup=0.0)


def latencies(system: System) -> set[float]:
    return set(played(system).latencies.round(9))


def fixed(seconds: float) -> Visit:
    return Visit("a", Deterministic(seconds))


def pause(seconds: float) -> Pause:
    return Pause("p", Deterministic(seconds))


@pytest.mark.parametrize("timeout", [None, 1e9])
def test_first_come_is_first_served(timeout: float | None) -> None:
    shown = played(clockwork(1.0, Station("a"), Visit("a", LogNormal(0.8, 1.0)), timeout=timeout))
    left = np.arange(1000) + shown.latencies
    assert (np.diff(left) > 0).all()
    assert shown.waits["a"] > 0.5


def test_a_request_stays_at_its_pool() -> None:
    """At the other one, its second visit would wait for the first of the next request."""
    in_turn = Station("a", pools=2, balancing=Balancing.ROUND_ROBIN)
    assert latencies(clockwork(1.0, in_turn, fixed(0.6), pause(0.5), fixed(0.3))) == {1.4}
    assert latencies(clockwork(1.0, Station("a"), fixed(0.6), pause(0.5), fixed(0.3))) > {1.4}


def test_a_request_is_in_flight_while_it_is_elsewhere() -> None:
    """A request that came to the pool of the one before, idle just then, would make its second visit wait."""
    system = clockwork(
        3.0, Station("a", pools=2, balancing=Balancing.LEAST_IN_FLIGHT), fixed(1.5), pause(2), fixed(1.5)
    )
    assert latencies(system) == {5.0}


def test_the_better_of_two_is_the_one_with_fewer_in_flight() -> None:
    station = Station("a", pools=2, balancing=Balancing.POWER_OF_TWO)
    assert latencies(clockwork(3.0, station, fixed(1.5), pause(2), fixed(1.5))) == {5.0}


def test_the_better_of_two_of_many_is_between_random_and_the_best() -> None:
    def p95(balancing: Balancing) -> float:
        station = Station("a", pools=16, balancing=balancing)
        return run(
            System(16 * 0.85, (station,), (Class("all", 1.0, (Visit("a", EXPONENTIAL),)),)), requests=100_000, seed=1
        ).quantile(95)

    assert p95(Balancing.RANDOM) > 2 * p95(Balancing.POWER_OF_TWO) > 2.5 * p95(Balancing.LEAST_IN_FLIGHT)


def test_copies_go_to_different_pools_and_their_hops_there_and_back_count_once() -> None:
    visit = Visit("a", Deterministic(0.5), copies=3, needed=2, hop=Deterministic(0.2))
    assert latencies(clockwork(1.0, Station("a", pools=3), visit)) == {0.7}


@pytest.mark.parametrize(("copies", "needed"), [(2, 2), (3, 2), (3, 1), (5, 3)])
def test_a_quorum_has_the_law_of_an_order_statistic(copies: int, needed: int) -> None:
    visit = Visit("a", Deterministic(0.0), copies=copies, needed=needed, hop=EXPONENTIAL)
    shown = played(clockwork(1.0, Station("a", pools=5), visit), 200_000)
    assert shown.mean == pytest.approx(sum(1 / k for k in range(copies - needed + 1, copies + 1)), rel=0.01)
    one = 1 - math.exp(-shown.quantile(95))
    at_least = sum(math.comb(copies, k) * one**k * (1 - one) ** (copies - k) for k in range(needed, copies + 1))
    assert at_least == pytest.approx(0.95, abs=0.002)


def test_copies_that_are_not_needed_still_do_their_work() -> None:
    shown = played(clockwork(1.0, Station("a", pools=5), Visit("a", EXPONENTIAL, copies=3, needed=1)), 50_000)
    assert shown.utilisation["a"] == pytest.approx(3 / 5, rel=0.01)


def test_copies_of_later_visits_go_to_the_pools_of_the_earlier() -> None:
    """At any others, they would wait for the next request's."""
    in_turn = Station("a", pools=4, balancing=Balancing.ROUND_ROBIN)
    visit = Visit("a", Deterministic(0.6), copies=2, needed=2)
    assert latencies(clockwork(1.0, in_turn, visit, pause(0.5), visit)) == {1.7}


def test_a_hedge_answers_for_a_stuck_server() -> None:
    station = Station("a", pools=8, balancing=Balancing.LEAST_IN_FLIGHT)
    shown = played(clockwork(10.0, station, Visit("a", MOSTLY_SHORT, hedge_after=0.5)), 100_000)
    assert shown.within(0.2) == pytest.approx(0.9, abs=0.005)
    assert shown.within(0.62) - shown.within(0.2) == pytest.approx(0.09, abs=0.005)
    assert shown.quantile(98) == pytest.approx(0.6, abs=0.011)
    assert shown.utilisation["a"] == pytest.approx(1.1 * MOSTLY_SHORT.mean / 80, rel=0.03)  # losers do their work


def test_no_hedge_goes_out_when_the_answer_is_there_in_time() -> None:
    shown = played(clockwork(1.0, Station("a", pools=2), Visit("a", Deterministic(0.5), hedge_after=0.5)))
    assert shown.utilisation["a"] == pytest.approx(0.25, rel=0.01)


def test_a_retry_goes_the_whole_way_again_and_latency_counts_from_the_first_try() -> None:
    station = Station("a", pools=8, balancing=Balancing.LEAST_IN_FLIGHT)
    steps = (pause(0.3), Visit("a", MOSTLY_SHORT))
    shown = played(clockwork(10.0, station, *steps, timeout=1.0, retries=1), 100_000)
    assert shown.within(0.45) == pytest.approx(0.9, abs=0.005)
    assert shown.within(1.3) == shown.within(0.45)
    assert shown.within(1.45) == pytest.approx(0.99, abs=0.002)
    assert shown.gave_up == pytest.approx(0.01, abs=0.002)
    assert shown.quantile(99.9) == math.inf


@pytest.mark.parametrize(("retries", "busy"), [(0, 0.3), (1, 0.6), (2, 0.9)])
def test_what_a_client_has_given_up_still_does_its_work(retries: int, busy: float) -> None:
    shown = played(clockwork(10.0, Station("a"), fixed(3.0), timeout=2.0, retries=retries))
    assert shown.gave_up == 1.0
    assert shown.utilisation["a"] == pytest.approx(busy, rel=0.01)


def test_retries_may_ask_for_more_than_there_is_and_the_run_still_ends() -> None:
    shown = played(clockwork(10.0, Station("a"), fixed(3.0), timeout=2.0, retries=5))
    assert (shown.gave_up, shown.utilisation["a"] > 1.5) == (1.0, False)
    assert shown.utilisation["a"] == pytest.approx(1.0, rel=0.01)


def test_an_answer_just_in_time_is_in_time() -> None:
    assert latencies(clockwork(10.0, Station("a"), fixed(3.0), timeout=3.0)) == {3.0}


def test_latency_from_service_leaves_out_the_first_wait_alone() -> None:
    steps = (Visit("a", Deterministic(0.2)), pause(1.0), Visit("b", Deterministic(0.5)))
    busy = Class("busy", 0.5, steps, from_service=True)
    for timeout in (None, 1e9):
        system = System(3.0, (Station("a"), Station("b", servers=50)), (busy, Class("other", 0.5, steps)), 1.0, timeout)
        shown = played(system)
        assert set(shown.of("busy").round(9)) == {1.7}
        assert shown.of("other").max() > 2.0


# While one request's first visit is served, the last visit of the one before and then the second of the one in between
# come, and wait.
MEETING = (fixed(0.5), pause(0.8), fixed(0.2), pause(0.3), fixed(0.1))


@pytest.mark.parametrize(("in_turns", "latency"), [(False, 2.6), (True, 2.8)])
def test_what_is_served_in_turns_leaves_with_the_last_of_its_turn(in_turns: bool, latency: float) -> None:
    shown = played(clockwork(1.0, Station("a", in_turns=in_turns), *MEETING))
    assert set(shown.latencies[10:-10].round(9)) == {latency}


def test_latency_from_service_does_not_wait_for_the_end_of_the_last_turn() -> None:
    station = Station("a", in_turns=True)
    shown = played(System(1.0, (station,), (Class("all", 1.0, MEETING, from_service=True),), scv=0.0))
    assert set(shown.latencies[10:-10].round(9)) == {2.6}


def test_only_one_server_serves_in_turns() -> None:
    with pytest.raises(InputError, match="a serves in turns with 2 servers; expected 1 at each pool"):
        Station("a", servers=2, in_turns=True)


def test_requests_are_of_each_class_by_its_share_in_order_of_arrival() -> None:
    classes = (Class("x", 0.7, (pause(1.0),)), Class("none", 0.0, (pause(3.0),)), Class("y", 0.3, (pause(2.0),)))
    shown = run(System(1.0, (), classes), requests=100_000, seed=1, warmup=0.25)
    assert shown.names == ("x", "none", "y")
    assert np.bincount(shown.classes)[:2] / shown.classes.size == pytest.approx([0.7, 0.0], abs=0.005)
    assert (shown.latencies.round(6) == np.array([1.0, 3.0, 2.0])[shown.classes]).all()
    assert shown.latencies.size == 75_000


@pytest.mark.parametrize("timeout", [None, 1.5])
def test_the_same_seed_gives_the_same_and_another_another(timeout: float | None) -> None:
    station = Station("a", pools=4, balancing=Balancing.RANDOM)
    system = System(2.0, (station,), (Class("all", 1.0, (Visit("a", EXPONENTIAL),)),), timeout=timeout)
    first, again, other = (played(system, 5000, seed).latencies for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).mean() > 0.5  # those that gave up are alike


@pytest.mark.parametrize("timeout", [None, 1.0])
def test_a_system_that_is_asked_for_more_than_it_can_do_is_refused(timeout: float | None) -> None:
    with pytest.raises(UnstableError, match=r"a gets 1\.00 times the work it can do"):
        played(clockwork(1.0, Station("a"), fixed(1.0), timeout=timeout))


@pytest.mark.parametrize(("requests", "warmup"), [(0, 0.1), (-5, 0.1), (1, 0.1), (100, 1.0), (100, -0.1), (10, 0.99)])
def test_nothing_to_simulate_is_refused(requests: int, warmup: float) -> None:
    with pytest.raises(InputError, match="expected"):
        run(clockwork(1.0, Station("a"), fixed(0.5)), requests=requests, seed=1, warmup=warmup)


def test_a_class_that_there_is_not_is_refused() -> None:
    shown = played(System(1.0, (), (Class("x", 1.0, (pause(1.0),)), Class("none", 0.0, (pause(1.0),)))))
    with pytest.raises(InputError, match="there is no class y; expected one of x, none"):
        shown.quantile(95, "y")
    with pytest.raises(InputError, match="no request of class none came"):
        shown.quantile(95, "none")

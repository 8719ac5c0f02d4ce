"""Predictions of whole systems: exact cases, properties, what is refused and how it is said."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvplan import simulate
from kvplan.errors import AmplifiedError, InputError, UnstableError
from kvplan.laws import NOTHING, Deterministic, Gamma, Law, LogNormal
from kvplan.model import COARSE, predict
from kvplan.system import Class, Pause, Station, System, Visit

POD = Station("pod", pools=4)
STORE = Station("store", servers=8, pools=3)
EXPONENTIAL = Gamma(0.01, 1.0)


def one_station(rate: float, law: Law = EXPONENTIAL, servers: int = 1, cv: float = 1.0) -> System:
    return System(rate, (Station("pod", servers),), (Class("all", 1.0, (Visit("pod", law),)),), scv=cv**2)


def service(rate: float) -> System:
    """Reads that hit a cache, reads that don't, and writes."""
    pod = Visit("pod", LogNormal(0.001, 0.5))
    hop = LogNormal(0.0005, 0.3)
    return System(
        rate,
        (POD, STORE),
        (
            Class("hit", 0.8, (pod, Pause("cache", LogNormal(0.0004, 0.5)))),
            Class("miss", 0.15, (pod, Visit("store", LogNormal(0.004, 1.0), copies=2, needed=2, hop=hop))),
            Class("write", 0.05, (pod, Visit("store", LogNormal(0.002, 1.0), copies=3, needed=2, hop=hop))),
        ),
    )


def hedged(rate: float, after: float, pools: int = 4) -> System:
    return System(
        rate, (Station("store", pools=pools),), (Class("all", 1.0, (Visit("store", EXPONENTIAL, hedge_after=after),)),)
    )


def test_the_latency_of_one_exponential_server_is_exponential() -> None:
    latency = predict(one_station(80), thresholds=[0.05]).latency
    assert latency.mean == pytest.approx(0.05, rel=1e-4)
    assert latency.quantiles[95] == pytest.approx(0.05 * math.log(20), rel=1e-3)
    assert latency.quantiles[99.9] == pytest.approx(0.05 * math.log(1000), rel=1e-3)
    assert latency.within[0.05] == pytest.approx(1 - math.exp(-1), rel=1e-3)


def test_a_way_through_exponential_servers_is_the_sum_of_independent_sojourns() -> None:
    """Jackson 1957, Burke 1956: three alike make an Erlang law."""
    stations = tuple(Station(name) for name in "abc")
    system = System(80, stations, (Class("all", 1.0, tuple(Visit(name, EXPONENTIAL) for name in "abc")),))
    exact = float(Gamma(0.15, 3**-0.5).quantile(np.array([0.95]))[0])
    assert predict(system).latency.quantiles[95] == pytest.approx(exact, rel=1e-3)


def test_pools_are_queues_of_their_own() -> None:
    split = System(320, (POD,), (Class("all", 1.0, (Visit("pod", EXPONENTIAL),)),))
    assert predict(split).latency.quantiles[95] == pytest.approx(
        predict(one_station(80)).latency.quantiles[95], rel=1e-4
    )


def test_where_nothing_waits_the_latency_is_that_of_the_work() -> None:
    system = System(
        1, (), (Class("all", 1.0, (Pause("way", Deterministic(0.02)), Pause("back", Deterministic(0.03)))),)
    )
    latency = predict(system).latency
    assert latency.mean == pytest.approx(0.05)
    assert latency.quantiles[50] == pytest.approx(0.05, rel=2e-3)


def test_work_that_takes_no_time_has_no_latency() -> None:
    prediction = predict(one_station(100, NOTHING))
    assert prediction.latency.quantiles[99] == pytest.approx(0.0, abs=1e-9)
    assert prediction.stations[0].saturates_at == math.inf


def test_the_whole_is_the_mixture_of_its_counted_classes() -> None:
    system = service(1500)
    prediction = predict(system, thresholds=[0.01])
    assert prediction.latency.within[0.01] == pytest.approx(
        sum(each.share * each.latency.within[0.01] for each in prediction.classes), rel=1e-9
    )
    background = replace(system, classes=(*system.classes[:2], replace(system.classes[2], counted=False)))
    hit, miss, write = predict(background, thresholds=[0.01]).classes
    assert predict(background, thresholds=[0.01]).latency.within[0.01] == pytest.approx(
        (0.8 * hit.latency.within[0.01] + 0.15 * miss.latency.within[0.01]) / 0.95, rel=1e-6
    )
    assert write.latency.quantiles[95] == pytest.approx(prediction.classes[2].latency.quantiles[95], rel=1e-3)


def test_a_step_is_named_by_its_station_and_number() -> None:
    steps = (Visit("pod", EXPONENTIAL), Pause("way", Deterministic(0.01)), Visit("pod", EXPONENTIAL))
    (each,) = predict(System(100, (POD,), (Class("all", 1.0, steps),))).classes
    assert [part.name for part in each.parts] == ["pod", "way", "pod (2)"]
    assert sum(part.mean for part in each.parts) == pytest.approx(each.latency.mean)


def test_stations_are_ordered_by_what_they_limit() -> None:
    pod, store = predict(service(1500)).stations
    assert (pod.name, store.name) == ("pod", "store")
    assert pod.saturates_at == pytest.approx(4000)
    assert predict(service(pod.saturates_at * 0.999)).stations[0].utilisation == pytest.approx(0.999)


def test_littles_law_and_m_m_c_stand_beside() -> None:
    prediction = predict(one_station(80))
    assert prediction.closed_forms["number in the system (Little)"] == pytest.approx(4.0, rel=1e-3)
    assert prediction.closed_forms["p95 of independent M/M/c"] == pytest.approx(0.05 * math.log(20), rel=1e-3)
    assert prediction.stations[0].erlang_wait == pytest.approx(0.04)


def test_a_latency_from_the_first_service_leaves_out_the_wait_before() -> None:
    system = one_station(80)
    seen = replace(system, classes=(replace(system.classes[0], from_service=True),))
    assert predict(seen).latency.quantiles[95] == pytest.approx(0.01 * math.log(20), rel=1e-3)


def test_it_leaves_out_the_first_wait_alone_if_the_pod_is_visited_again() -> None:
    steps = (
        Visit("pod", EXPONENTIAL, hop=Deterministic(0.004)),
        Pause("way", Deterministic(0.1)),
        Visit("pod", EXPONENTIAL),
    )
    whole = System(120, (POD,), (Class("all", 1.0, steps),))
    seen = replace(whole, classes=(replace(whole.classes[0], from_service=True),))
    left_out = predict(whole).latency.mean - predict(seen).latency.mean
    assert left_out == pytest.approx(predict(whole).stations[0].wait + 0.002, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(
    load=st.floats(0.1, 0.93), more=st.floats(0.005, 0.05), servers=st.sampled_from([1, 3, 16]), cv=st.floats(0.3, 1.5)
)
def test_percentiles_rise_with_the_load(load: float, more: float, servers: int, cv: float) -> None:
    low, high = (
        predict(one_station(each * servers * 100, LogNormal(0.01, cv), servers), resolution=COARSE).latency
        for each in (load, load + more)
    )
    assert all(low.quantiles[each] <= high.quantiles[each] * 1.0005 for each in low.quantiles)


@pytest.mark.parametrize("rate", [500, 2000, 3400])
def test_coarse_is_close_to_fine(rate: float) -> None:
    fine, coarse = predict(service(rate)), predict(service(rate), resolution=COARSE)
    assert coarse.latency.mean == pytest.approx(fine.latency.mean, rel=1e-3)
    for percentile in (50, 95, 99, 99.9):
        assert coarse.latency.quantiles[percentile] == pytest.approx(fine.latency.quantiles[percentile], rel=0.005)
    for a, b in zip(coarse.classes, fine.classes, strict=True):
        assert a.latency.quantiles[95] == pytest.approx(b.latency.quantiles[95], rel=0.015)


def test_a_quorum_of_exponential_answers_has_its_known_latency() -> None:
    """At a rate that makes no queue, two of three: 1/3 + 1/2 of the mean."""
    system = System(0.01, (POD,), (Class("all", 1.0, (Visit("pod", EXPONENTIAL, copies=3, needed=2),)),))
    assert predict(system).latency.mean == pytest.approx(0.01 * (1 / 3 + 1 / 2), rel=1e-3)
    assert predict(system).stations[0].saturates_at == pytest.approx(4 / 0.03)


@pytest.mark.parametrize(
    ("pools", "servers", "copies", "needed", "load", "law"),
    [(4, 1, 4, 2, 0.75, Gamma(0.004, 0.8)), (5, 4, 3, 2, 0.85, LogNormal(0.004, 0.6)), (3, 2, 2, 2, 0.8, EXPONENTIAL)],
)
def test_copies_that_queue_behind_copies_are_as_simulated(
    pools: int, servers: int, copies: int, needed: int, load: float, law: Law
) -> None:
    """Their pools get the same requests: they are long together."""
    rate = load * pools * servers / copies / law.mean
    visits = (Visit("store", law, copies=copies, needed=needed),)
    system = System(rate, (Station("store", servers=servers, pools=pools),), (Class("all", 1.0, visits),))
    run, prediction = simulate.run(system, requests=400_000, seed=9), predict(system)
    for percentile in (50, 95, 99):
        assert prediction.latency.quantiles[percentile] == pytest.approx(run.quantile(percentile), rel=0.06)


def test_hedges_add_their_share_of_load() -> None:
    """P(a sojourn longer than d) = e^(-d (1 - load) / service), at the load that this itself makes."""
    (store,) = predict(hedged(100, after=0.02)).stations
    load = store.utilisation
    assert load == pytest.approx(0.25 * (1 + math.exp(-0.02 * (1 - load) / 0.01)), rel=1e-3)


def test_a_hedge_helps_where_there_is_room() -> None:
    plain = predict(hedged(40, after=10.0)).latency.quantiles[99.9]
    assert predict(hedged(40, after=0.03)).latency.quantiles[99.9] < 0.8 * plain


def retried(load: float, timeout: float, pools: int) -> System:
    visits = (Visit("pod", EXPONENTIAL),)
    system = System(100 * pools * load, (Station("pod", pools=pools),), (Class("all", 1.0, visits),))
    return replace(system, timeout=timeout, retries=1)


def test_retries_among_many_queues_are_as_simulated() -> None:
    system = retried(0.4, 0.06, 64)
    run, prediction = simulate.run(system, requests=400_000, seed=5), predict(system)
    assert prediction.stations[0].utilisation == pytest.approx(run.utilisation["pod"], rel=0.01)
    for percentile in (50, 95, 99):
        assert prediction.latency.quantiles[percentile] == pytest.approx(run.quantile(percentile), rel=0.02)
    assert prediction.gave_up == pytest.approx(run.gave_up, rel=0.35)
    assert prediction.beyond is None


def test_a_system_that_its_retries_can_tip_is_beyond_its_competence() -> None:
    assert predict(retried(0.6, 0.08, 64)).beyond == (
        "pod would get 1.20 times the work it can do if all tries were late, and stay so: use --simulate"
    )
    assert predict(retried(0.6, 1.0, 64)).beyond is None


def test_tries_that_meet_one_queue_twice_are_beyond_its_competence() -> None:
    assert predict(retried(0.4, 0.06, 4)).beyond == (
        "a request's next try meets the same queue again at pod, which has 4: use --simulate"
    )


def test_who_gives_up_is_above_every_percentile() -> None:
    prediction = predict(replace(one_station(90), timeout=0.01))
    assert prediction.gave_up == pytest.approx(math.exp(-0.1), rel=1e-3)
    assert prediction.latency.quantiles[95] == math.inf
    assert predict(replace(one_station(90), timeout=0.01), percentiles=[5]).latency.quantiles[5] < 0.01


def test_quorums_hedges_and_uncounted_work_are_as_simulated() -> None:
    system = service(2400)
    system = replace(
        system,
        classes=(
            *system.classes[:2],
            Class("slow", 0.05, (Visit("store", LogNormal(0.004, 1.0), hedge_after=0.006),), counted=False),
        ),
    )
    run, prediction = simulate.run(system, requests=400_000, seed=8), predict(system)
    assert prediction.latency.quantiles[95] == pytest.approx(run.quantile(95), rel=0.03)
    for each in prediction.classes:
        assert each.latency.quantiles[99] == pytest.approx(run.quantile(99, each.name), rel=0.05)
    for station in prediction.stations:
        assert station.utilisation == pytest.approx(run.utilisation[station.name], rel=0.02)


def test_too_much_work_is_said_not_numbered() -> None:
    with pytest.raises(UnstableError) as caught:
        predict(one_station(120))
    assert str(caught.value) == (
        "unstable: at 120 requests/s, pod gets 1.20 times the work it can do, so its queue grows without end; "
        "give it more servers, or send it less than 100 requests/s"
    )


def test_retries_that_make_each_other_are_said_to() -> None:
    with pytest.raises(AmplifiedError) as caught:
        predict(replace(one_station(80), timeout=0.03, retries=3))
    said = str(caught.value)
    assert said.startswith("unstable by its retries: at 80 requests/s, pod has a load of 0.80 without them")
    assert said.endswith("give it more servers, or begin retries later")
    assert caught.value.load > 1


def test_hedges_that_make_each_other_are_said_to() -> None:
    with pytest.raises(AmplifiedError, match=r"unstable by its hedges: at 300 requests/s, store has a load of 0\.75"):
        predict(hedged(300, after=0.001))


def test_beyond_its_competence_it_says_so_and_why() -> None:
    assert predict(one_station(95)).beyond is None
    assert predict(one_station(96)).beyond == "pod has a load of 0.960, above 0.95: use --simulate"
    assert predict(one_station(50, LogNormal(0.01, 1.5))).beyond is None
    assert predict(one_station(50, LogNormal(0.01, 2.0))).beyond == (
        "the service times at pod have a CV of 2.00, above 1.5: use --simulate"
    )
    assert predict(one_station(5, LogNormal(0.01, 2.0))).beyond is None
    assert predict(one_station(50, cv=2.0)).beyond == (
        "the times between arrivals have a CV of 2.00, above 1.5: use --simulate"
    )


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match=r"percentiles \[95, 100\]; expected one or more, between 0 and 100"):
        predict(one_station(50), percentiles=[95, 100])
    with pytest.raises(InputError, match=r"a timeout of 0 s, 1 retries; expected above 0, and 0 or more"):
        replace(one_station(50), timeout=0, retries=1)
    system = one_station(50)
    with pytest.raises(InputError, match="no class of the system is counted; expected one with a share above 0"):
        predict(replace(system, classes=(replace(system.classes[0], counted=False),)))

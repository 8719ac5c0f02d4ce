"""Each event does what it says, when it says, and each protection protects from what it is for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kvplan.scenario.engine.state import Count
from kvplan.scenario.file import Scenario
from kvplan.scenario.months import months, stations
from kvplan.scenario.outcome import Run, quantile
from kvplan.scenario.packaged import packaged
from kvplan.scenario.play import play

Make = Callable[..., Scenario]
TWO = [
    {"name": "one", "share": 0.5, "pods": 6, "cacheEntries": 2000, "storeServers": 6},
    {"name": "two", "share": 0.5, "pods": 6, "cacheEntries": 2000, "storeServers": 6},
]
WARM = {"peakQps": 2000, "records": 1000, "pods": 6, "storeServers": 6, "duration": 20}
COLD = {"peakQps": 500, "cacheEntries": 0, "pods": 6, "storeServers": 4, "duration": 20}


def mean(run: Run, column: Count, begin: int, end: int) -> float:
    return float(run.total(column)[begin:end].mean())


def test_a_surge_grows_within_its_time_stays_and_falls(make: Make) -> None:
    surge = {"event": "surge", "at": 4, "factor": 5, "within": 2, "lasts": 6}
    run = play(make(**WARM | {"peakQps": 500}, events=[surge]))
    assert mean(run, Count.ARRIVED, 0, 4) == pytest.approx(500, rel=0.05)
    assert mean(run, Count.ARRIVED, 4, 6) == pytest.approx(1500, rel=0.05)  # on the way up
    assert mean(run, Count.ARRIVED, 6, 10) == pytest.approx(2500, rel=0.05)
    assert mean(run, Count.ARRIVED, 12, 20) == pytest.approx(500, rel=0.05)


def test_a_flush_empties_the_cache_in_its_second(make: Make) -> None:
    run = play(make(**WARM, events=[{"event": "flush", "at": 10}]))
    assert run.hit_rate[9] > 0.98
    assert run.hit_rate[10] < 0.85
    assert run.hit_rate[19] > 0.98


def test_a_flush_of_half_leaves_the_other_half(make: Make) -> None:
    flat = WARM | {"peakQps": 100, "skew": 0, "records": 5000, "cacheEntries": 5000}
    run = play(make(**flat, cacheTtl=36000, events=[{"event": "flush", "at": 10, "share": 0.5}]))
    assert run.hit_rate[:10].mean() - run.hit_rate[10:14].mean() == pytest.approx(0.48, abs=0.08)


def test_a_lost_zone_takes_pods_servers_and_what_was_under_way_until_it_is_over(make: Make) -> None:
    zone = {"event": "zone-lost", "at": 5, "lasts": 10, "noticedAfter": 2}
    run = play(make(**COLD, balancing="random", events=[zone]))
    assert [mean(run, Count.PODS, *span) for span in ((0, 5), (5, 15), (15, 20))] == [6, 4, 6]
    assert run.goodput[5:7].mean() == pytest.approx(2 / 3, abs=0.06)  # the gateway has not noticed
    assert run.goodput[8:].min() == 1
    assert mean(run, Count.STORE_BUSY, 7, 14) == pytest.approx(mean(run, Count.STORE_BUSY, 0, 5) * 4 / 3, rel=0.06)


def test_a_lost_zone_takes_its_share_of_the_cache_only_if_told(make: Make) -> None:
    runs = [play(make(**WARM, events=[{"event": "zone-lost", "at": 10, "cacheShare": share}])) for share in (0, 0.5)]
    assert runs[0].hit_rate[10] > 0.98 > 0.95 > runs[1].hit_rate[10]


def test_clients_of_a_lost_region_go_to_the_others_and_come_back(make: Make) -> None:
    lost = {"event": "region-lost", "region": "one", "at": 5, "lasts": 8, "noticedAfter": 2, "farther": 0.05}
    run = play(make(regions=TWO, events=[lost], duration=20))
    attempts = run.seconds[:, :, Count.ATTEMPTS]
    assert attempts[0, 8:13].sum() == 0
    assert attempts[1, 8:13].mean() == pytest.approx(500, rel=0.05)
    assert attempts[:, 15:].mean() == pytest.approx(250, rel=0.05)
    assert run.goodput_of(slice(5, 7), 0) < 0.1
    assert run.goodput_of(slice(5, 7), 1) == 1
    assert run.p95(8, 12, region=0) == pytest.approx(run.p95(8, 12, region=1) + 0.05, rel=0.05)


@pytest.mark.parametrize("dependency", ["store", "cache"])
def test_a_slow_dependency_is_slow_for_its_time(make: Make, dependency: str) -> None:
    base = COLD if dependency == "store" else WARM
    slow = {
        "event": "slow",
        "dependency": dependency,
        "at": 5,
        "lasts": 5,
        "factor": 1.8 if dependency == "store" else 10,
    }
    run = play(make(**base, events=[slow]))
    before, during, after = run.p95(0, 5), run.p95(5, 10), run.p95(12, 20)
    assert during > before * 1.04
    assert after == pytest.approx(before, rel=0.03)


def test_in_a_retry_storm_failing_requests_are_sent_again_at_once(make: Make) -> None:
    slow = {"event": "slow", "dependency": "store", "at": 5, "factor": 1000}
    storm = {"event": "retry-storm", "at": 5, "retries": 4}
    asked = make(**COLD, client={"timeout": 0.2, "backoff": 5}, events=[slow, storm])
    assert mean(play(asked), Count.ATTEMPTS, 8, 19) == pytest.approx(5 * 500, rel=0.05)


def test_a_hot_key_takes_its_share(make: Make) -> None:
    rare = WARM | {"records": 1_000_000, "skew": 0.2, "cacheEntries": 100, "peakQps": 500}
    run = play(make(**rare, events=[{"event": "hot-key", "at": 5, "lasts": 10, "share": 0.6}]))
    assert run.hit_rate[:5].mean() < 0.05
    assert run.hit_rate[7:15].mean() == pytest.approx(0.6, abs=0.04)
    assert run.hit_rate[16:].mean() < 0.05


def test_coalescing_asks_the_store_once_for_what_many_want(make: Make) -> None:
    one = {"peakQps": 500, "records": 1, "cacheEntries": 1, "cacheTtl": 0.5, "storeServers": 50, "duration": 20}
    quick = {"mean": 1e-6}
    times = {"podRead": quick, "podMiss": quick, "cache": quick, "cacheHop": 0}
    times["storeRead"] = {"mean": 0.05, "shape": "deterministic"}
    runs = [play(make(**one, times=times, protections=on)) for on in ({}, {"coalescing": True})]
    many, once = (mean(run, Count.STORE_BUSY, 0, 20) * 50 / 0.05 for run in runs)
    assert once == pytest.approx(1 / 0.55, rel=0.1)  # one fill for each time to live, and the fill's own time
    assert many == pytest.approx(once * 25, rel=0.2)  # all that arrive while it takes


def test_admission_bounds_both_queues(make: Make) -> None:
    overload = COLD | {"peakQps": 3000}
    bounds = {"admission": {"inFlight": 20, "storeQueue": 7}}
    run = play(make(**overload, protections=bounds))
    assert run.total(Count.STORE_QUEUE).max() == 7
    assert run.total(Count.POD_QUEUE).max() <= 6 * 19
    assert run.total(Count.SHED).sum() > 0.3 * run.total(Count.ARRIVED).sum()
    assert run.p95(0, 20) < 0.1


def test_a_refusal_costs_a_pod_its_work(make: Make) -> None:
    bounds = {"admission": {"inFlight": 1}}
    flood = WARM | {"peakQps": 20_000, "records": 10}
    free, dear = (play(make(**flood, times={"refuse": cost}, protections=bounds)) for cost in (0, 0.001))
    assert dear.goodput_share < free.goodput_share / 2
    assert dear.total(Count.SHED).sum() > 0.5 * dear.total(Count.ARRIVED).sum()  # a no at the door is no failure


def test_a_retry_budget_holds_retries_to_its_share(make: Make) -> None:
    failing = COLD | {"peakQps": 3000}
    run = play(make(**failing, client={"timeout": 0.2, "retries": 3}, protections={"retryBudget": {"share": 0.2}}))
    assert 1.15 < run.attempts["attempts"] / run.attempts["requests"] < 1.22


def test_a_back_off_spreads_retries_over_its_time(make: Make) -> None:
    slow = {"event": "slow", "dependency": "store", "at": 5, "factor": 1e5}
    runs = [
        play(make(**COLD, client={"timeout": 0.1, "retries": 1, "backoff": backoff}, events=[slow]))
        for backoff in (0, 5)
    ]
    assert mean(runs[0], Count.ATTEMPTS, 6, 8) == pytest.approx(1000, rel=0.05)
    assert mean(runs[1], Count.ATTEMPTS, 6, 8) == pytest.approx(500 + 500 * 1.9 / 5, rel=0.05)
    assert mean(runs[1], Count.ATTEMPTS, 12, 19) == pytest.approx(1000, rel=0.05)


def test_with_deadlines_work_goes_to_those_who_still_wait(make: Make) -> None:
    overload = COLD | {"peakQps": 2000}
    client = {"timeout": 0.2}
    runs = [play(make(**overload, client=client, protections=on)) for on in ({}, {"deadline": True})]
    assert runs[0].attempts["dropped"] == 0
    assert runs[1].attempts["dropped"] > 0
    assert runs[1].goodput_share > 2 * runs[0].goodput_share


def test_an_answer_counts_only_if_it_reaches_its_client_in_time(make: Make) -> None:
    network = {"mean": 0.1, "shape": "deterministic"}
    times = {"storeRead": {"mean": 0.1, "cv": 1}}
    run = play(make(**COLD | {"storeServers": 200}, times=times, client={"timeout": 0.3, "network": network}))
    assert run.attempts["late"] > 0
    assert quantile(run.latencies.sum(axis=(0, 1)), 100) <= 0.3 * 1.02


def test_old_copies_answer_while_the_store_is_slow(make: Make) -> None:
    stale = {"staleIfError": {"keep": 100, "after": 0.1}}
    slow = {"event": "slow", "dependency": "store", "at": 5, "lasts": 10, "factor": 2000}
    runs = [play(make(**WARM, cacheTtl=5, events=[slow], protections=on)) for on in ({}, stale)]
    assert runs[0].goodput_share < 0.9
    assert runs[1].goodput_share > 0.99
    assert mean(runs[1], Count.STALE, 6, 15) > 100
    assert runs[1].total(Count.STALE)[:5].sum() == 0


def test_copies_that_are_too_old_do_not(make: Make) -> None:
    stale = {"staleIfError": {"keep": 0.001, "after": 0.1}}
    slow = {"event": "slow", "dependency": "store", "at": 5, "factor": 2000}
    run = play(make(**WARM, cacheTtl=5, events=[slow], protections=stale))
    assert run.total(Count.STALE).sum() < 10


def test_a_breaker_leaves_a_slow_store_alone(make: Make) -> None:
    slow = {"event": "slow", "dependency": "store", "at": 5, "lasts": 5, "factor": 100}
    runs = [
        play(make(**COLD, client={"timeout": 1}, events=[slow], protections=on))
        for on in ({}, {"breaker": {"store": 0.2, "pause": 0.5}})
    ]
    assert runs[0].total(Count.STORE_QUEUE).max() > 1000
    assert runs[1].total(Count.STORE_QUEUE).max() < 500  # what came before the first slow answers
    assert runs[0].goodput[11] < 0.5
    assert runs[1].goodput[12:].min() == 1


def test_a_breaker_passes_a_slow_cache_by(make: Make) -> None:
    slow = {"event": "slow", "dependency": "cache", "at": 5, "lasts": 10, "factor": 10_000}
    asked = WARM | {"storeServers": 20}
    runs = [
        play(make(**asked, events=[slow], protections=on)) for on in ({}, {"breaker": {"cache": 0.05, "pause": 0.5}})
    ]
    assert runs[0].goodput[6:15].mean() < 0.1
    assert runs[1].goodput.min() > 0.99
    assert runs[1].p95(5, 15) < 0.1


def test_hedging_cuts_the_tail_of_a_store_that_is_sometimes_slow(make: Make) -> None:
    times = {"storeRead": {"mean": 0.004, "cv": 3}}
    calm = COLD | {"storeServers": 20}
    plain, hedged = (play(make(**calm, times=times, protections=on)) for on in ({}, {"hedging": {"after": 0.01}}))
    assert hedged.quantiles(99).mean() < 0.8 * plain.quantiles(99).mean()
    assert 0 < hedged.total(Count.HEDGES).sum() < 0.2 * hedged.total(Count.ARRIVED).sum()


def test_with_jitter_what_was_filled_together_does_not_expire_together(make: Make) -> None:
    flat = {"peakQps": 3000, "records": 300, "skew": 0, "cacheEntries": 300, "pods": 8, "storeServers": 8}
    flush = {"event": "flush", "at": 2}
    runs = [
        play(make(**flat, cacheTtl=10, duration=16, events=[flush], protections=on))
        for on in ({}, {"jitteredTtl": {"share": 0.5}})
    ]
    misses = [(run.total(Count.LOOKUPS) - run.total(Count.HITS))[7:].max() for run in runs]
    assert misses[1] < misses[0] / 2


def test_a_near_cache_spares_the_shard_a_hot_key(make: Make) -> None:
    hot = {"event": "hot-key", "at": 0, "share": 0.9}
    runs = [play(make(**WARM, events=[hot], protections=on)) for on in ({}, {"nearCache": {"keys": 1}})]
    plain, near = (mean(run, Count.CACHE_BUSY, 2, 20) for run in runs)
    assert near < 0.25 * plain
    assert runs[1].hit_rate[2:].mean() == pytest.approx(runs[0].hit_rate[2:].mean(), abs=0.02)


def test_months_say_when_it_stops_holding_and_what_binds(make: Make) -> None:
    growing = {"count": 3, "growth": 0.8, "p95": 0.05}
    zone = {"event": "zone-lost", "at": 2}
    states = months(make(**COLD | {"duration": 12}, events=[zone], months=growing))
    assert [(each.month, each.state, each.holds) for each in states] == [
        (1, "normal", True),
        (1, "zone-lost", True),
        (2, "normal", True),
        (2, "zone-lost", False),
        (3, "normal", False),
        (3, "zone-lost", False),
    ]
    assert [round(each.peak_qps) for each in states[::2]] == [500, 900, 1620]
    assert {each.station for each in states} == {"store"}
    assert states[0].load == pytest.approx(500 * 0.004 / 4, rel=0.1)


def test_the_twelve_months_are_fifty_thousand_requests_in_three_regions() -> None:
    scenario = packaged("twelve-months")
    assert (scenario.workload.peak_qps, len(scenario.regions)) == (50_000, 3)
    assert scenario.months is not None
    assert scenario.months.count == 12


def test_phases_and_recovery_are_told_from_the_events(make: Make) -> None:
    slow = {"event": "slow", "dependency": "store", "at": 5, "lasts": 5, "factor": 1000}
    run = play(make(**COLD, client={"timeout": 0.2}, events=[slow], protections={"deadline": True}))
    bad = np.flatnonzero(run.goodput < 0.99)
    again = bad[-1] + 1
    assert bad[0] in (4, 5)
    assert run.phases == {"before": (0, 5), "during": (5, again), "after": (again, 20)}
    assert run.recovered_after == again - 10
    assert run.worst_second in range(5, 12)
    assert run.bad_seconds == sum(bad >= 5)


def test_what_never_comes_back_has_not_recovered(make: Make) -> None:
    slow = {"event": "slow", "dependency": "store", "at": 5, "factor": 1000}
    run = play(make(**COLD, client={"timeout": 0.2, "retries": 9}, events=[slow]))
    assert run.recovered_after is None
    assert run.phases["after"] == (20, 20)


def test_what_never_fell_has_recovered_at_once(make: Make) -> None:
    run = play(make(**WARM, events=[{"event": "flush", "at": 10, "share": 0.01}]))
    assert (run.recovered_after, run.bad_seconds, run.worst_second) == (0, 0, None)


def test_seconds_whose_failures_are_not_known_yet_are_not_judged(make: Make) -> None:
    run = play(make(**COLD, client={"timeout": 0.5, "retries": 3, "backoff": 0.1}))
    assert run.goodput.size == 20 - 3  # 4 x 0.5 s, and up to 0.1 + 0.2 + 0.4 s between them


def test_loads_are_of_what_is_there(make: Make) -> None:
    zone = {"event": "zone-lost", "at": 10, "noticedAfter": 0}
    loads = stations(play(make(**WARM, events=[zone])))
    pods: Any = loads["pods"][0]
    assert pods[11:].mean() == pytest.approx(pods[:10].mean() * 1.5, rel=0.05)

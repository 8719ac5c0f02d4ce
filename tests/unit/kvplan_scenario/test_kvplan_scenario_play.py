"""The engine: nothing is lost or made up, calm runs agree with closed forms, and the same seed is the same run."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kvplan.errors import InputError
from kvplan.plan.caching import hit_rate, zipf
from kvplan.scenario import world as building
from kvplan.scenario.engine.loop import play as play_world
from kvplan.scenario.engine.state import Count, Tally
from kvplan.scenario.file import Scenario
from kvplan.scenario.outcome import Run
from kvplan.scenario.packaged import packaged
from kvplan.scenario.play import play

Make = Callable[..., Scenario]
QUICK: dict[str, Any] = {"mean": 1e-6, "shape": "deterministic"}
STORE_ALONE = {  # of all times only the store's counts
    "podRead": QUICK,
    "podMiss": QUICK | {"mean": 2e-6},
    "cache": QUICK,
    "cacheHop": 0,
}
EVERYTHING = {
    "coalescing": True,
    "admission": {"inFlight": 30, "storeQueue": 20},
    "retryBudget": {"share": 0.5},
    "deadline": True,
    "staleIfError": True,
    "breaker": True,
    "hedging": {"after": 0.01},
    "jitteredTtl": True,
    "nearCache": {"keys": 10, "ttl": 0.5},
}
ALL_EVENTS = [
    {"event": "surge", "at": 1, "factor": 5, "within": 1, "lasts": 2},
    {"event": "flush", "at": 2, "share": 0.5},
    {"event": "slow", "dependency": "store", "at": 3, "lasts": 1, "factor": 10},
    {"event": "slow", "dependency": "cache", "at": 4, "lasts": 1, "factor": 1000},
    {"event": "zone-lost", "at": 5, "lasts": 2, "cacheShare": 0.3, "noticedAfter": 0.5},
    {"event": "retry-storm", "at": 5, "lasts": 2},
    {"event": "region-lost", "region": "one", "at": 8, "lasts": 1, "noticedAfter": 0.5},
    {"event": "hot-key", "at": 1, "share": 0.3},
    {"event": "surge", "at": 10, "factor": 1e-12, "within": 0.05},  # from then on no more requests
]
BUSY = {"peakQps": 900, "reads": 0.9, "cacheEntries": 300, "cacheTtl": 1, "storeServers": 3, "duration": 20}
RETRYING = {"timeout": 0.3, "retries": 2, "backoff": 0.02, "network": {"mean": 0.01}}


@pytest.mark.parametrize("protections", [{}, EVERYTHING], ids=["without protections", "with all of them"])
def test_whatever_happens_every_request_and_every_attempt_has_one_end(make: Make, protections: dict[str, Any]) -> None:
    run = play(make(**BUSY, client=RETRYING, events=ALL_EVENTS, protections=protections))
    ends = sum(run.attempts[each] for each in ("answered", "late", "refused", "dropped", "lost", "inside"))
    assert run.attempts["requests"] == run.attempts["closed"]
    assert run.attempts["attempts"] == ends
    outcomes = run.total(Count.ANSWERED) + run.total(Count.FAILED) + run.total(Count.SHED)
    assert run.total(Count.ARRIVED).tolist() == outcomes.tolist()


def test_what_is_still_inside_at_the_end_is_neither_answered_nor_failed(make: Make) -> None:
    events = [{"event": "slow", "dependency": "store", "at": 9, "factor": 1e5}]
    run = play(make(cacheEntries=0, peakQps=200, client={"timeout": 5}, events=events))
    ended = run.total(Count.ANSWERED) + run.total(Count.FAILED) + run.total(Count.SHED)
    assert run.attempts["requests"] - run.attempts["closed"] == run.total(Count.ARRIVED).sum() - ended.sum()
    assert ended[-1] < run.total(Count.ARRIVED)[-1]


def test_nothing_happens_after_the_end(make: Make) -> None:
    made = building.world(make(events=[{"event": "flush", "at": 3}]))
    assert play_world(made.addresses(), 7.0, 0) == 0  # the flush, at 3 + 5, is still to come
    assert made.heap["at"][0] >= 7
    assert made.regions["next_arrival"][0] >= 7
    assert made.tally[Tally.HEAP] > 0


def test_the_same_seed_is_the_same_run(make: Make) -> None:
    runs = [play(make(**BUSY, seed=seed, events=ALL_EVENTS, protections=EVERYTHING)) for seed in (7, 7, 8)]
    assert np.array_equal(runs[0].seconds, runs[1].seconds)
    assert np.array_equal(runs[0].latencies, runs[1].latencies)
    assert not np.array_equal(runs[0].seconds, runs[2].seconds)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.8), (4, 0.8)])
def test_a_store_that_every_read_misses_to_is_an_mmc_queue(make: Make, servers: int, load: float) -> None:
    rate = load * servers / 0.004
    times = STORE_ALONE | {"storeRead": {"mean": 0.004, "cv": 1, "shape": "gamma"}}
    seconds = round(150_000 / rate)
    scenario = make(peakQps=rate, cacheEntries=0, storeServers=servers, duration=seconds, times=times)
    run = play(scenario)
    assert run.total(Count.STORE_BUSY).mean() == pytest.approx(load, rel=0.02)
    assert run.p95(0, seconds) == pytest.approx(_mmc_p95(rate, 0.004, servers), rel=0.05)


def _mmc_p95(rate: float, mean: float, servers: int) -> float:
    """Of wait and service in an M/M/c queue, by Erlang's C formula and bisection."""
    offered = rate * mean
    term = offered**servers / math.factorial(servers) * servers / (servers - offered)
    waits = term / (sum(offered**each / math.factorial(each) for each in range(servers)) + term)
    drain, serve = servers / mean - rate, 1 / mean

    def beyond(time: float) -> float:
        if servers == 1:
            return math.exp(-drain * time)
        waited = waits * (serve * math.exp(-drain * time) - drain * math.exp(-serve * time)) / (serve - drain)
        return waited + (1 - waits) * math.exp(-serve * time)

    low, high = 0.0, 100 * mean
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle) > 0.05 else (low, middle)
    return low


@pytest.mark.parametrize(("entries", "ttl"), [(2000, 3600.0), (10_000, 3600.0), (20_000, 20.0), (3000, 60.0)])
def test_the_hit_rate_is_what_che_says_from_the_first_second_on(make: Make, entries: int, ttl: float) -> None:
    run = play(make(peakQps=2000, records=20_000, cacheEntries=entries, cacheTtl=ttl, storeServers=20, duration=60))
    expected = hit_rate(zipf(20_000, 0.99), entries=entries, rate=2000, ttl=ttl)
    hits, lookups = run.total(Count.HITS), run.total(Count.LOOKUPS)
    assert hits.sum() / lookups.sum() == pytest.approx(expected, abs=0.01)
    assert hits[:5].sum() / lookups[:5].sum() == pytest.approx(expected, abs=0.02)


def test_a_pod_has_the_load_that_its_work_makes(make: Make) -> None:
    run = play(make(peakQps=1000, reads=0.5, cacheEntries=0, pods=5, storeServers=10, duration=60))
    busy = run.total(Count.POD_BUSY).sum() / run.total(Count.ARRIVED).sum()
    assert busy == pytest.approx(0.5 * 0.0020 + 0.5 * 0.0025, rel=0.02)


@pytest.mark.parametrize("rule", ["random", "round-robin", "power-of-two", "least-in-flight"])
def test_every_balancing_rule_spreads_requests(make: Make, rule: str) -> None:
    run = play(make(peakQps=2000, records=10, pods=4, balancing=rule, duration=30))
    assert run.goodput_share == 1
    assert run.p95(0, 30) < 0.02


def test_knowing_more_of_the_pods_waits_less(make: Make) -> None:
    rules = ("random", "power-of-two", "least-in-flight")
    runs = [play(make(peakQps=2800, records=10, pods=4, balancing=rule, duration=30)) for rule in rules]
    waits = [run.p95(0, 30) for run in runs]
    assert waits == sorted(waits, reverse=True)


def test_a_scale_keeps_hit_rate_and_loads(make: Make) -> None:
    sizes = {"peakQps": 4000, "records": 40_000, "cacheEntries": 8000, "pods": 12, "storeServers": 16, "duration": 40}
    whole, part = play(make(**sizes)), play(make(**sizes, scale=4))
    assert part.total(Count.ARRIVED).sum() == pytest.approx(whole.total(Count.ARRIVED).sum() / 4, rel=0.02)
    assert np.mean(part.hit_rate) == pytest.approx(np.mean(whole.hit_rate), abs=0.01)
    assert part.total(Count.STORE_BUSY).mean() == pytest.approx(whole.total(Count.STORE_BUSY).mean(), rel=0.05)


def test_a_scale_that_divides_nothing_keeps_the_load_as_well(make: Make) -> None:
    sizes = {"peakQps": 1000, "records": 10, "pods": 7, "duration": 40}
    whole, part = play(make(**sizes)), play(make(**sizes, scale=3))
    loads = [run.total(Count.POD_BUSY).mean() / run.total(Count.PODS).mean() for run in (whole, part)]
    assert loads[1] == pytest.approx(loads[0], rel=0.03)


def test_more_under_way_than_can_be_held_is_said(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_MOST_SLOTS", 500)
    with pytest.raises(InputError, match="small: at 0 s more than 500 requests wait; play it with a larger scale"):
        play(make(cacheEntries=0, peakQps=5000))


def herd(retries: int, protections: tuple[str, ...], full: bool) -> Run:
    """Full: as packaged. Short: a quarter of it, and a shorter time."""
    scenario = packaged("herd")
    update: dict[str, Any] = {
        "client": scenario.client.model_copy(update={"retries": retries}),
        "protections": scenario.protections.only(protections),
    }
    if not full:
        update |= {"scale": 4, "duration": 130}
    return play(scenario.model_copy(update=update))


@pytest.mark.counted
def test_after_a_flush_protections_bring_back_what_plain_retries_keep_down(counted: Any) -> None:
    full = counted(0, 1) == 1
    cases: dict[str, tuple[int, tuple[str, ...]]] = {
        "none, 3 retries": (3, ()),
        "none, no retries": (0, ()),
        "coalescing, 3 retries": (3, ("coalescing",)),
        "coalescing, no retries": (0, ("coalescing",)),
        "bounded queue, no retries": (0, ("admission",)),
        "bounded queue, 3 retries": (3, ("admission",)),
        "coalescing, bounded queue, 3 retries": (3, ("coalescing", "admission")),
    }
    back: dict[str, float] = {}
    for name, (retries, protections) in cases.items():
        run = herd(retries, protections, full)
        back[name] = math.inf if run.recovered_after is None else run.recovered_after
        told = "not in the run" if run.recovered_after is None else f"after {run.recovered_after} s"
        counted.tell(f"{name}: {1 - run.goodput_share:.2%} failed, recovered {told}")
    assert back["none, 3 retries"] > 60
    assert back["none, no retries"] < 20
    assert all(seconds <= 10 for name, seconds in back.items() if not name.startswith("none"))

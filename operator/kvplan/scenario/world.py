"""From a scenario to the arrays that the engine plays."""

import math

import numpy as np
from numpy.typing import NDArray

from kvplan.laws import Deterministic, Floats, Gamma, Law
from kvplan.scenario import keys
from kvplan.scenario.engine import state
from kvplan.scenario.engine.arrays import World
from kvplan.scenario.engine.state import NEVER, NOBODY, NOT_CACHED, SLOT
from kvplan.scenario.file import Region, RetryStorm, Scenario
from kvplan.scenario.happenings import actions, rates, scaled
from kvplan.system import Balancing

_BEYOND_REACH = 2**31 - 1
_MOST_SLOTS = 1 << 24  # of attempts under way; memory is touched only as they are used
_RULES = (Balancing.RANDOM, Balancing.ROUND_ROBIN, Balancing.POWER_OF_TWO, Balancing.LEAST_IN_FLIGHT)


def world(scenario: Scenario) -> World:
    """At the start of the warm-up: caches as they are in the long run, all queues empty."""
    shares = keys.popularity(scenario.workload.records, scenario.workload.skew, scenario.scale)
    regions, pods, shards = _stations(scenario)
    flow = rates(scenario)
    slots = min(_MOST_SLOTS, _attempts(scenario, flow) + 2)
    many = len(regions)
    return World(
        rules=_rules(scenario),
        regions=regions,
        pods=pods,
        shards=shards,
        requests=np.zeros(slots, state.REQUEST),
        jobs=np.zeros(slots, state.JOB),
        works=np.zeros(slots, state.WORK),
        nodes=np.zeros(2 * slots, state.NODE),
        copies=_caches(scenario, regions, shares, flow),
        columns=_columns(shares),
        heap=np.zeros(2 * slots, state.MOMENT),
        timers=np.zeros(slots, state.TIMER),
        actions=actions(scenario),
        laws=np.array([_laws(scenario, region) for region in scenario.regions]),
        near=np.zeros((pods.size, _near_keys(scenario))),
        rates=flow,
        seconds=np.zeros((many, scenario.duration, len(state.Count))),
        latencies=np.zeros((many, scenario.duration, state.BUCKETS), np.int32),
        tally=_tally(),
    )


def _near_keys(scenario: Scenario) -> int:
    """Those that a pod keeps itself, and the one that may get hot."""
    return scenario.protections.near_cache.keys + 1 if scenario.protections.near_cache else 0


def _columns(shares: Floats) -> NDArray[np.void]:
    columns = np.zeros(shares.size, state.COLUMN)
    columns["own"], columns["other"] = keys.alias(shares)
    return columns


def _attempts(scenario: Scenario, flow: Floats) -> int:
    """More than there will be of them, nearly surely."""
    storms = [event.retries for event in scenario.events if isinstance(event, RetryStorm)]
    mean = float(flow.sum()) * SLOT * (1 + max([scenario.client.retries, *storms]))
    return int(mean + 10 * math.sqrt(mean) + 100)


def _tally() -> NDArray[np.int64]:
    tally = np.zeros(len(state.Tally), np.int64)
    tally[[state.Tally.FREE_REQUEST, state.Tally.FREE_JOB, state.Tally.FREE_WORK, state.Tally.FREE_NODE]] = NOBODY
    return tally


def _stations(scenario: Scenario) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.void]]:
    regions = np.zeros(len(scenario.regions), state.REGION)
    first_pod = first_shard = 0
    for own, region in zip(regions, scenario.regions, strict=True):
        own["pods"], own["first_pod"] = scaled(region.pods, scenario.scale), first_pod
        own["shards"], own["first_shard"] = scaled(region.cache_shards, scenario.scale), first_shard
        own["servers"] = scaled(region.store_servers, scenario.scale)
        own["entries_most"] = round(region.cache_entries / scenario.scale)
        own["share"] = region.share
        own["ttl"] = scenario.cache_ttl
        own["cache_slow"] = own["store_slow"] = 1.0
        own["head"] = own["tail"] = own["newest"] = own["oldest"] = NOBODY
        if budget := scenario.protections.retry_budget:
            own["tokens_most"] = max(10.0, budget.share * region.share * scenario.workload.peak_qps / scenario.scale)
        first_pod += int(own["pods"])
        first_shard += int(own["shards"])
    regions["tokens"] = regions["tokens_most"]
    pods = np.zeros(first_pod, state.POD)
    pods["head"] = pods["tail"] = pods["serving"] = NOBODY
    pods["listed"] = 1
    return regions, pods, np.zeros(first_shard, state.SHARD)


def _rules(scenario: Scenario) -> NDArray[np.void]:
    on, client = scenario.protections, scenario.client
    rules = np.zeros(1, state.RULES)
    values = {
        "seed": scenario.seed,
        "warm_up": scenario.warm_up,
        "timeout": client.timeout,
        "backoff": client.backoff,
        "retries": client.retries,
        "storm_retries": NOBODY,
        "reads": scenario.workload.reads,
        "refuse": scenario.times.refuse,
        "cache_hop": scenario.times.cache_hop,
        "balancing": _RULES.index(scenario.balancing),
        "budget": on.retry_budget.share if on.retry_budget else NEVER,
        "stale_for": on.stale_if_error.keep if on.stale_if_error else 0.0,
        "stale_after": on.stale_if_error.after if on.stale_if_error else NEVER,
        "hedge_after": on.hedging.after if on.hedging else NEVER,
        "breaker_row": on.breaker.failures if on.breaker else _BEYOND_REACH,
        "breaker_store": on.breaker.store if on.breaker else NEVER,
        "breaker_cache": on.breaker.cache if on.breaker else NEVER,
        "breaker_pause": on.breaker.pause if on.breaker else 0.0,
        "jitter": on.jittered_ttl.share if on.jittered_ttl else 0.0,
        "near_keys": _near_keys(scenario),
        "near_ttl": on.near_cache.ttl if on.near_cache else 0.0,
        "coalescing": on.coalescing is not None,
        "deadline": on.deadline is not None,
        "pod_most": on.admission.in_flight if on.admission else _BEYOND_REACH,
        "store_most": scaled(on.admission.store_queue, scenario.scale) if on.admission else _BEYOND_REACH,
    }
    for name, value in values.items():
        rules[name] = value
    return rules


def _laws(scenario: Scenario, region: Region) -> list[tuple[float, float, float]]:
    """In the order of `state.Law`. Where a scale does not divide a station, its work stretches by what is missing."""

    def stretch(count: int) -> float:
        return scaled(count, scenario.scale) * scenario.scale / count

    times, pod, store = scenario.times, stretch(region.pods), stretch(region.store_servers)
    read, miss, write = (each.law() for each in (times.pod_read, times.pod_miss, times.pod_write))
    return [
        _row(read.scaled(pod / 2)),
        _row(miss.scaled(pod * (1 - read.mean / miss.mean))) if miss.mean > read.mean else _row(Deterministic(0.0)),
        _row(write.scaled(pod / 3)),
        _row(write.scaled(pod * 2 / 3)),
        _row(times.cache.law().scaled(stretch(region.cache_shards))),
        _row(times.store_read.law().scaled(store)),
        _row(times.store_write.law().scaled(store)),
        _row(scenario.client.network.law() if scenario.client.network else Deterministic(0.0)),
    ]


def _row(law: Law) -> tuple[float, float, float]:
    """Anything that is neither constant nor gamma is played as the lognormal law of its mean and CV."""
    if law.scv == 0:
        return state.CONSTANT, law.mean, 0.0
    if isinstance(law, Gamma):
        return state.GAMMA, 1 / law.scv, law.mean * law.scv
    sigma = math.sqrt(math.log1p(law.scv))
    return state.LOGNORMAL, math.log(law.mean) - sigma**2 / 2, sigma


def _caches(scenario: Scenario, regions: NDArray[np.void], shares: Floats, flow: Floats) -> NDArray[np.void]:
    """Filled as in the long run; `regions` gets to know of it."""
    random = np.random.default_rng(scenario.seed)
    copies = np.zeros((regions.size, shares.size), state.COPY)
    copies["older"], copies["newer"], copies["filling"] = NOT_CACHED, NOBODY, NOBODY
    for own, cached, rate in zip(regions, copies, flow[:, 0], strict=True):
        there, fresh = keys.warm(shares * rate, int(own["entries_most"]), float(own["ttl"]), random)
        if there.size:
            cached["fresh_until"][there] = fresh
            cached["older"][there] = np.append(there[1:], NOBODY)
            cached["newer"][there] = np.append(NOBODY, there[:-1])
            own["entries"], own["newest"], own["oldest"] = there.size, there[0], there[-1]
    return copies

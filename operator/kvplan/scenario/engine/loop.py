"""Plays a world from its beginning to the end of its last second."""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import njit

from kvplan.scenario.engine import cache, clients, pods, store
from kvplan.scenario.engine.arrays import (
    Addresses,
    actions_of,
    compiled,
    count,
    draw,
    heap_of,
    jobs_of,
    pods_of,
    regions_of,
    rules_of,
    seconds_of,
    shards_of,
    tally_of,
    timers_of,
)
from kvplan.scenario.engine.heap import next_event, schedule
from kvplan.scenario.engine.state import Action, Count, Event, Law, Stage, Tally


@compiled
def _ask_cache(w: Addresses, now: float, job: int) -> None:
    """One shard, one command after the other. With the breaker a slow answer is not waited for: it counts as a miss."""
    own, rules = jobs_of(w)[job], rules_of(w)
    shard = shards_of(w)[cache.shard_of(w, own.region, own.key)]
    if now < shard.breaker_until:
        own.stage = Stage.MISS
        count(w, own.region, now, Count.LOOKUPS, 1)
        pods.visit(w, now, job)
        return
    if shard.breaker_failures >= rules.breaker_row:
        shard.breaker_until = now + rules.breaker_pause
    work = draw(w, own.region, Law.CACHE) * regions_of(w)[own.region].cache_slow
    count(w, own.region, now, Count.CACHE_BUSY, work)
    shard.free_at = max(shard.free_at, now) + work
    took = shard.free_at - now + rules.cache_hop
    if took > rules.breaker_cache:
        shard.breaker_failures += 1
        if shard.breaker_failures >= rules.breaker_row:
            shard.breaker_until = now + rules.breaker_cache + rules.breaker_pause
        own.stage = Stage.MISS
        schedule(w, now + rules.breaker_cache, Event.CACHE, job, own.turn)
    else:
        shard.breaker_failures = 0
        own.stage = Stage.CACHE
        schedule(w, now + took, Event.CACHE, job, own.turn)


@compiled
def _cache_answered(w: Addresses, now: float, job: int) -> None:
    own = jobs_of(w)[job]
    count(w, own.region, now, Count.LOOKUPS, 1)
    if own.stage == Stage.CACHE:
        fresh = cache.is_fresh(w, own.region, own.key, now)
        own.stage = Stage.HIT if fresh else Stage.MISS
        own.old_copy = cache.has_old(w, own.region, own.key, now)
        count(w, own.region, now, Count.HITS, fresh)
    pods.visit(w, now, job)


@compiled
def _pod_served(w: Addresses, now: float, job: int, turn: int) -> None:
    own = jobs_of(w)[job]
    if own.turn != turn or own.stage == Stage.LOST or pods_of(w)[own.pod].serving != job:
        return  # the pod was lost meanwhile
    pods.serve_next(w, now, own.pod)
    if own.stage == Stage.READ:
        _ask_cache(w, now, job)
    elif own.stage == Stage.MISS or own.stage == Stage.WRITE:
        store.ask(w, now, job)
    else:
        if own.stage == Stage.NEAR:
            count(w, own.region, now, Count.LOOKUPS, 1)
            count(w, own.region, now, Count.HITS, 1)
        clients.answer(w, now, job)


@compiled
def _happen(w: Addresses, now: float, event: int, slot: int, turn: int) -> None:
    if event == Event.POD:
        _pod_served(w, now, slot, turn)
    elif event == Event.CACHE:
        _cache_answered(w, now, slot)
    elif event >= Event.STORE:
        store.done(w, now, event - Event.STORE, slot, turn)
    elif event == Event.ATTEMPT:
        clients.attempt(w, now, slot)
    elif event == Event.HEDGE:
        store.hedge(w, now, slot, turn)
    elif jobs_of(w)[slot].turn == turn and jobs_of(w)[slot].stage == Stage.STORE:
        store.answer_stale(w, now, slot)


@compiled
def _act(w: Addresses, now: float, action: int, index: int, value: float) -> None:
    region = regions_of(w)[index]
    if action == Action.CACHE_SLOW:
        region.cache_slow = value
    elif action == Action.STORE_SLOW:
        region.store_slow = value
    elif action == Action.HOT:
        region.hot_share = value
    elif action == Action.FLUSH:
        cache.flush(w, index, value)
    elif action == Action.SERVERS:
        region.servers = int(value)
        store.serve_next(w, now, index)
    elif action == Action.AWAY:
        region.away = int(value)
    elif action == Action.STORM:
        rules_of(w).storm_retries = int(value)
    elif action == Action.FARTHER:
        region.farther += value
    else:
        _act_on_pods(w, action, region.first_pod, int(value))


@compiled
def _act_on_pods(w: Addresses, action: int, first: int, many: int) -> None:
    for pod in range(first, first + many):
        if action == Action.LOSE_PODS:
            pods.kill(w, pod)
        elif action == Action.UNLIST_PODS:
            pods_of(w)[pod].listed = 0
        else:
            pods_of(w)[pod].lost = 0
            pods_of(w)[pod].listed = 1


@compiled
def _end_second(w: Addresses, now: float, second: int) -> None:
    """What is a state, not a count, is looked at when the second ends."""
    for index in range(regions_of(w).size):
        region = regions_of(w)[index]
        store.clock_busy(w, now, index)
        waiting = there = 0
        for pod in range(region.first_pod, region.first_pod + region.pods):
            waiting += pods_of(w)[pod].waiting
            there += 1 - pods_of(w)[pod].lost
        if second >= 0:
            seconds_of(w)[index, second, Count.STORE_BUSY] = region.busy_area / max(region.servers, 1)
            seconds_of(w)[index, second, Count.STORE_QUEUE] = region.waiting
            seconds_of(w)[index, second, Count.POD_QUEUE] = waiting
            seconds_of(w)[index, second, Count.PODS] = there
        region.busy_area = 0.0


@compiled
def _next_region(w: Addresses) -> int:
    first = 0
    for region in range(1, regions_of(w).size):
        if regions_of(w)[region].next_arrival < regions_of(w)[first].next_arrival:
            first = region
    return first


@compiled
def _play(w: Addresses, until: float, action: int) -> int:
    tally = tally_of(w)
    if tally[Tally.EVENTS] == 0:
        np.random.seed(rules_of(w).seed)
        for index in range(regions_of(w).size):
            regions_of(w)[index].next_arrival = clients.next_arrival(w, index, 0.0)
    tick = np.floor(regions_of(w)[0].busy_since) + 1
    while tally[Tally.FULL] == 0:
        region = _next_region(w)
        arrival = regions_of(w)[region].next_arrival
        event = heap_of(w)[0].at if tally[Tally.HEAP] else np.inf
        place = tally[Tally.TIMER_FIRST] % timers_of(w).size
        timer = timers_of(w)[place].at if tally[Tally.TIMER_FIRST] < tally[Tally.TIMER_END] else np.inf
        act = actions_of(w)[action].at if action < actions_of(w).size else np.inf
        now = min(min(arrival, event), min(timer, act))
        while tick <= min(now, until):
            _end_second(w, tick, int(tick - rules_of(w).warm_up) - 1)
            tick += 1
        if now >= until:
            break
        tally[Tally.EVENTS] += 1
        if now == act:
            happening = actions_of(w)[action]
            _act(w, now, happening.action, happening.region, happening.value)
            action += 1
        elif now == arrival:
            regions_of(w)[region].next_arrival = clients.next_arrival(w, region, now)
            clients.arrive(w, now, region)
        elif now == timer:
            tally[Tally.TIMER_FIRST] += 1
            clients.give_up(w, now, timers_of(w)[place].request, timers_of(w)[place].turn)
        else:
            kind, slot, turn = next_event(w)
            _happen(w, now, kind, slot, turn)
    return action


def _kept(sources: int) -> Callable[[Addresses, float, int], int]:
    """Machine code is kept for the next process. numba takes it for good as long as this file has not changed; a number
    that stands for all the engine's sources, and enters into the code, makes it see the others, too."""

    def play(w: Addresses, until: float, action: int) -> int:
        return _play(w, until, action) if sources else action

    try:
        return njit(cache=True, _nrt=False)(play)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to keep it in
        return njit(_nrt=False)(play)  # type: ignore[no-any-return]


def _fingerprint() -> int:
    folder = Path(__file__).parent
    return 1 + zlib.crc32(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py"))))


play = _kept(_fingerprint())
"""play(addresses of a World, until, action): everything before `until`, a full second; of the world's actions those
from number `action` on. -> the next action. What is random depends on the world's seed alone, as long as one world is
played to its end before another one of the same thread."""

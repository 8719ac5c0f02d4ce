"""Plays a world from its beginning to the end of its last second."""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import njit

from kvplan.scenario.engine import cache, clients, pods, store
from kvplan.scenario.engine.heap import next_event, schedule
from kvplan.scenario.engine.state import Action, Count, Event, Law, Stage, Tally, World, compiled, count, draw


@compiled
def _ask_cache(w: World, now: float, job: int) -> None:
    """One shard, one command after the other. With the breaker a slow answer is not waited for: it counts as a miss."""
    own, rules = w.jobs[job], w.rules[0]
    shard = w.shards[cache.shard_of(w, own.region, own.key)]
    if now < shard.breaker_until:
        own.stage = Stage.MISS
        count(w, own.region, now, Count.LOOKUPS, 1)
        pods.visit(w, now, job)
        return
    if shard.breaker_failures >= rules.breaker_row:
        shard.breaker_until = now + rules.breaker_pause
    work = draw(w.random, w.laws[own.region, Law.CACHE]) * w.regions[own.region].cache_slow
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
def _cache_answered(w: World, now: float, job: int) -> None:
    own = w.jobs[job]
    count(w, own.region, now, Count.LOOKUPS, 1)
    if own.stage == Stage.CACHE:
        fresh = cache.is_fresh(w, own.region, own.key, now)
        own.stage = Stage.HIT if fresh else Stage.MISS
        count(w, own.region, now, Count.HITS, fresh)
    pods.visit(w, now, job)


@compiled
def _pod_served(w: World, now: float, job: int, turn: int) -> None:
    own = w.jobs[job]
    if own.turn != turn or own.stage == Stage.LOST or w.pods[own.pod].serving != job:
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
def _happen(w: World, now: float, event: int, slot: int, turn: int) -> None:
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
    elif w.jobs[slot].turn == turn and w.jobs[slot].stage == Stage.STORE:
        store.answer_stale(w, now, slot)


@compiled
def _act(w: World, now: float, action: int, index: int, value: float) -> None:
    region = w.regions[index]
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
        w.rules[0].storm_retries = int(value)
    elif action == Action.FARTHER:
        region.network += value
    else:
        _act_on_pods(w, action, region.first_pod, int(value))


@compiled
def _act_on_pods(w: World, action: int, first: int, many: int) -> None:
    for pod in range(first, first + many):
        if action == Action.LOSE_PODS:
            pods.kill(w, pod)
        elif action == Action.UNLIST_PODS:
            w.pods[pod].listed = 0
        else:
            w.pods[pod].lost = 0
            w.pods[pod].listed = 1


@compiled
def _end_second(w: World, now: float, second: int) -> None:
    """What is a state, not a count, is looked at when the second ends."""
    for index in range(w.regions.size):
        region = w.regions[index]
        store.clock_busy(w, now, index)
        waiting = 0
        for pod in range(region.first_pod, region.first_pod + region.pods):
            waiting += w.pods[pod].waiting
        if second >= 0:
            w.seconds[index, second, Count.STORE_BUSY] = region.busy_area / max(region.servers, 1)
            w.seconds[index, second, Count.STORE_QUEUE] = region.waiting
            w.seconds[index, second, Count.POD_QUEUE] = waiting
        region.busy_area = 0.0


@compiled
def _next_region(w: World) -> int:
    first = 0
    for region in range(1, w.regions.size):
        if w.regions[region].next_arrival < w.regions[first].next_arrival:
            first = region
    return first


@compiled
def _play(w: World, until: float, action: int) -> int:
    tally = w.tally
    for index in range(w.regions.size):
        if w.regions[index].next_arrival == 0:
            w.regions[index].next_arrival = clients.next_arrival(w, index, 0.0)
    tick = np.floor(w.regions[0].busy_since) + 1
    while tally[Tally.FULL] == 0:
        region = _next_region(w)
        arrival = w.regions[region].next_arrival
        event = w.heap_at[0] if tally[Tally.HEAP] else np.inf
        place = tally[Tally.TIMER_FIRST] % w.timer_at.size
        timer = w.timer_at[place] if tally[Tally.TIMER_FIRST] < tally[Tally.TIMER_END] else np.inf
        act = w.actions[action, 0] if action < w.actions.shape[0] else np.inf
        now = min(min(arrival, event), min(timer, act))
        while tick <= min(now, until):
            _end_second(w, tick, int(tick - w.rules[0].warm_up) - 1)
            tick += 1
        if now >= until:
            break
        tally[Tally.EVENTS] += 1
        if now == act:
            _act(w, now, int(w.actions[action, 1]), int(w.actions[action, 2]), w.actions[action, 3])
            action += 1
        elif now == arrival:
            w.regions[region].next_arrival = clients.next_arrival(w, region, now)
            clients.arrive(w, now, region)
        elif now == timer:
            tally[Tally.TIMER_FIRST] += 1
            clients.give_up(w, now, w.timer_request[place], w.timer_turn[place])
        else:
            kind, slot, turn = next_event(w)
            _happen(w, now, kind, slot, turn)
    return action


def _kept(sources: int) -> Callable[[World, float, int], int]:
    """Machine code is kept for the next process. numba takes it for good as long as this file has not changed; a number
    that stands for all the engine's sources, and enters into the code, makes it see the others, too."""

    def play(w: World, until: float, action: int) -> int:
        return _play(w, until, action) if sources else action

    try:
        return njit(cache=True, _nrt=False)(play)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to keep it in
        return njit(_nrt=False)(play)  # type: ignore[no-any-return]


def _fingerprint() -> int:
    folder = Path(__file__).parent
    return 1 + zlib.crc32(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py"))))


play = _kept(_fingerprint())
"""play(world, until, action): everything before `until`, a full second; of `World.actions` those from number `action`
on. -> the next action."""

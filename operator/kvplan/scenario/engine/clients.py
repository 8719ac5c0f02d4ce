"""Clients: they send at the rate of the moment whatever comes back, give up after a time, and try again."""

import numpy as np

from kvplan.scenario.engine.heap import schedule, set_timer
from kvplan.scenario.engine.pods import choose, end, visit
from kvplan.scenario.engine.state import (
    BUCKETS,
    NEVER,
    NOBODY,
    SHORTEST,
    SLOT,
    STEP,
    Count,
    Event,
    Stage,
    Tally,
    World,
    compiled,
    count,
    give_back,
    take,
)


@compiled
def next_arrival(w: World, region: int, now: float) -> float:
    """Of a Poisson stream whose rate is constant in each slot."""
    work = w.random.standard_exponential()
    slot = int(now / SLOT + 1e-9)
    while slot < w.rates.shape[1]:
        rate = w.rates[region, slot]
        left = rate * ((slot + 1) * SLOT - now)
        if work < left:
            return float(now + work / rate)
        work -= left
        slot += 1
        now = slot * SLOT
    return NEVER


@compiled
def _any_key(w: World, region: int) -> int:
    """By its popularity (Walker 1977); the coldest one is what gets hot."""
    if w.regions[region].hot_share > 0 and w.random.random() < w.regions[region].hot_share:
        return w.alias_other.size - 1
    spot = w.random.random() * w.alias_other.size
    key = int(spot)
    return key if spot - key < w.alias_share[key] else w.alias_other[key]


@compiled
def arrive(w: World, now: float, region: int) -> None:
    rules = w.rules[0]
    w.tally[Tally.REQUESTS] += 1
    count(w, region, now, Count.ARRIVED, 1)
    index = take(w, Tally.FREE_REQUEST, Tally.USED_REQUESTS, w.requests)
    request = w.requests[index]
    request.born = now
    request.home = region
    request.key = _any_key(w, region)
    request.write = w.random.random() >= rules.reads
    request.tries_left = rules.retries if rules.storm_retries == NOBODY else rules.storm_retries
    w.regions[region].tokens = min(w.regions[region].tokens_most, w.regions[region].tokens + rules.budget)
    attempt(w, now, index)


@compiled
def _region_for(w: World, home: int) -> int:
    """Home; if its clients go away, another one by its share. Home again if all are away."""
    if not w.regions[home].away:
        return home
    total = 0.0
    for region in range(w.route.size):
        total += 0.0 if w.regions[region].away else w.route[region]
    at = w.random.random() * total
    for region in range(w.route.size):
        if not w.regions[region].away:
            at -= w.route[region]
            if at < 0:
                return region
    return home


@compiled
def attempt(w: World, now: float, index: int) -> None:
    """One try. It is let in by a pod, or refused at its door."""
    rules, request = w.rules[0], w.requests[index]
    region = _region_for(w, request.home)
    w.tally[Tally.ATTEMPTS] += 1
    count(w, region, now, Count.ATTEMPTS, 1)
    request.job = NOBODY
    set_timer(w, now + rules.timeout, index, request.turn)
    network = w.regions[request.home].network
    pod = choose(w, region)
    if pod == NOBODY:
        w.tally[Tally.LOST] += 1
    elif w.pods[pod].in_flight >= rules.pod_most and not w.pods[pod].lost:
        w.tally[Tally.REFUSED] += 1
        w.pods[pod].debt += rules.refuse
        fail(w, index, now + network, Count.SHED)
    else:
        _enter(w, now, index, region, pod, network)


@compiled
def _enter(w: World, now: float, index: int, region: int, pod: int, network: float) -> None:
    job = take(w, Tally.FREE_JOB, Tally.USED_JOBS, w.jobs)
    own, request = w.jobs[job], w.requests[index]
    request.job = job
    request.job_turn = own.turn
    own.deadline = now + w.rules[0].timeout - network
    own.network = network
    own.request = index
    own.request_turn = request.turn
    own.key = request.key
    own.region = region
    own.pod = pod
    own.epoch = w.pods[pod].epoch
    near = near_place(w, request.key)
    if request.write:
        own.stage = Stage.WRITE
    elif near != NOBODY and w.near_until[pod, near] > now:
        own.stage = Stage.NEAR
    else:
        own.stage = Stage.READ
    w.pods[pod].in_flight += 1
    visit(w, now, job)


@compiled
def near_place(w: World, key: int) -> int:
    """Where a pod keeps it in its own memory: the most popular ones and the one that gets hot."""
    keys = w.rules[0].near_keys
    if key < keys - 1:
        return key
    return keys - 1 if keys and key == w.alias_other.size - 1 else NOBODY


@compiled
def _close(w: World, index: int, outcome: int) -> None:
    request = w.requests[index]
    w.tally[Tally.CLOSED] += 1
    count(w, request.home, request.born, outcome, 1)
    give_back(w, Tally.FREE_REQUEST, w.requests, index)


@compiled
def fail(w: World, index: int, at: float, outcome: int) -> None:
    """This try is over; another one follows `at` or later, if there may be one."""
    rules, request = w.rules[0], w.requests[index]
    home = w.regions[request.home]
    if request.tries_left == 0 or (rules.budget < NEVER and home.tokens < 1):
        _close(w, index, outcome)
        return
    home.tokens -= 1
    request.tries_left -= 1
    request.turn += 1
    wait = 0.0
    if rules.storm_retries == NOBODY and rules.backoff > 0:
        wait = rules.backoff * 2.0 ** (rules.retries - request.tries_left - 1) * w.random.random()
    schedule(w, at + wait, Event.ATTEMPT, index, request.turn)


@compiled
def give_up(w: World, now: float, index: int, turn: int) -> None:
    """The timer of a try."""
    request = w.requests[index]
    if request.turn != turn:
        return
    job = request.job
    if job != NOBODY and w.jobs[job].turn == request.job_turn and w.jobs[job].stage == Stage.LOST:
        w.tally[Tally.LOST] += 1
        end(w, job)
    fail(w, index, now, Count.FAILED)


@compiled
def answer(w: World, now: float, job: int) -> None:
    own = w.jobs[job]
    request = w.requests[own.request]
    if request.turn == own.request_turn and now <= own.deadline:
        latency = now - request.born + own.network
        bucket = int(np.ceil(np.log(max(latency, SHORTEST) / SHORTEST) / STEP))
        second = int(np.floor(request.born - w.rules[0].warm_up))
        if 0 <= second < w.seconds.shape[1]:
            w.latencies[request.home, second, min(bucket, BUCKETS - 1)] += 1
        w.tally[Tally.ANSWERED] += 1
        _close(w, own.request, Count.ANSWERED)
    else:
        w.tally[Tally.LATE] += 1
    near = near_place(w, own.key)
    if near != NOBODY and (own.stage == Stage.HIT or own.stage == Stage.FILLED):
        w.near_until[own.pod, near] = now + w.rules[0].near_ttl
    end(w, job)


@compiled
def refuse(w: World, now: float, job: int) -> None:
    """An honest no, by the pod that let it in."""
    own = w.jobs[job]
    w.tally[Tally.REFUSED] += 1
    w.pods[own.pod].debt += w.rules[0].refuse
    if w.requests[own.request].turn == own.request_turn and now <= own.deadline:
        fail(w, own.request, now + own.network, Count.SHED)
    end(w, job)

"""Clients: they send at the rate of the moment whatever comes back, give up after a time, and try again."""

import numpy as np

from kvplan.scenario.engine.arrays import (
    Addresses,
    columns_of,
    compiled,
    count,
    draw,
    give_back,
    jobs_of,
    latencies_of,
    near_of,
    pods_of,
    rates_of,
    regions_of,
    requests_of,
    rules_of,
    seconds_of,
    take,
    tally_of,
)
from kvplan.scenario.engine.heap import schedule, set_timer
from kvplan.scenario.engine.pods import choose, end, visit
from kvplan.scenario.engine.state import BUCKETS, NEVER, NOBODY, SHORTEST, SLOT, STEP, Count, Event, Law, Stage, Tally


@compiled
def next_arrival(w: Addresses, region: int, now: float) -> float:
    """Of a Poisson stream whose rate is constant in each slot."""
    work = np.random.standard_exponential()
    slot = int(now / SLOT + 1e-9)
    while slot < rates_of(w).shape[1]:
        rate = rates_of(w)[region, slot]
        left = rate * ((slot + 1) * SLOT - now)
        if work < left:
            return float(now + work / rate)
        work -= left
        slot += 1
        now = slot * SLOT
    return NEVER


@compiled
def _any_key(w: Addresses, region: int) -> int:
    """By its popularity (Walker 1977); the coldest one is what gets hot."""
    if regions_of(w)[region].hot_share > 0 and np.random.random() < regions_of(w)[region].hot_share:
        return columns_of(w).size - 1
    spot = np.random.random() * columns_of(w).size
    key = int(spot)
    return key if spot - key < columns_of(w)[key].own else columns_of(w)[key].other


@compiled
def arrive(w: Addresses, now: float, region: int) -> None:
    rules = rules_of(w)
    tally_of(w)[Tally.REQUESTS] += 1
    count(w, region, now, Count.ARRIVED, 1)
    index = take(w, Tally.FREE_REQUEST, Tally.USED_REQUESTS, requests_of(w))
    request = requests_of(w)[index]
    request.born = now
    request.home = region
    request.key = _any_key(w, region)
    request.write = np.random.random() >= rules.reads
    request.tries_left = rules.retries if rules.storm_retries == NOBODY else rules.storm_retries
    regions_of(w)[region].tokens = min(regions_of(w)[region].tokens_most, regions_of(w)[region].tokens + rules.budget)
    attempt(w, now, index)


@compiled
def _region_for(w: Addresses, home: int) -> int:
    """Home; if its clients go away, another one by its share. Home again if all are away."""
    if not regions_of(w)[home].away:
        return home
    total = 0.0
    for region in range(regions_of(w).size):
        total += 0.0 if regions_of(w)[region].away else regions_of(w)[region].share
    at = np.random.random() * total
    for region in range(regions_of(w).size):
        if not regions_of(w)[region].away:
            at -= regions_of(w)[region].share
            if at < 0:
                return region
    return home


@compiled
def attempt(w: Addresses, now: float, index: int) -> None:
    """One try. It is let in by a pod, or refused at its door."""
    rules, request = rules_of(w), requests_of(w)[index]
    region = _region_for(w, request.home)
    tally_of(w)[Tally.ATTEMPTS] += 1
    count(w, region, now, Count.ATTEMPTS, 1)
    request.job = NOBODY
    set_timer(w, now + rules.timeout, index, request.turn)
    network = regions_of(w)[request.home].farther + draw(w, request.home, Law.NETWORK)
    pod = choose(w, region)
    if pod == NOBODY:
        tally_of(w)[Tally.LOST] += 1
    elif pods_of(w)[pod].in_flight >= rules.pod_most and not pods_of(w)[pod].lost:
        tally_of(w)[Tally.REFUSED] += 1
        pods_of(w)[pod].debt += rules.refuse
        fail(w, index, now + network, Count.SHED)
    else:
        _enter(w, now, index, region, pod, network)


@compiled
def _enter(w: Addresses, now: float, index: int, region: int, pod: int, network: float) -> None:
    job = take(w, Tally.FREE_JOB, Tally.USED_JOBS, jobs_of(w))
    own, request = jobs_of(w)[job], requests_of(w)[index]
    request.job = job
    request.job_turn = own.turn
    own.deadline = now + rules_of(w).timeout - network
    own.network = network
    own.request = index
    own.request_turn = request.turn
    own.key = request.key
    own.region = region
    own.pod = pod
    own.epoch = pods_of(w)[pod].epoch
    own.old_copy = 0
    near = near_place(w, request.key)
    if request.write:
        own.stage = Stage.WRITE
    elif near != NOBODY and near_of(w)[pod, near] > now:
        own.stage = Stage.NEAR
    else:
        own.stage = Stage.READ
    pods_of(w)[pod].in_flight += 1
    visit(w, now, job)


@compiled
def near_place(w: Addresses, key: int) -> int:
    """Where a pod keeps it in its own memory: the most popular ones and the one that gets hot."""
    keys = rules_of(w).near_keys
    if key < keys - 1:
        return key
    return keys - 1 if keys and key == columns_of(w).size - 1 else NOBODY


@compiled
def _close(w: Addresses, index: int, outcome: int) -> None:
    request = requests_of(w)[index]
    tally_of(w)[Tally.CLOSED] += 1
    count(w, request.home, request.born, outcome, 1)
    give_back(w, Tally.FREE_REQUEST, requests_of(w), index)


@compiled
def fail(w: Addresses, index: int, at: float, outcome: int) -> None:
    """This try is over; another one follows `at` or later, if there may be one."""
    rules, request = rules_of(w), requests_of(w)[index]
    home = regions_of(w)[request.home]
    if request.tries_left == 0 or (rules.budget < NEVER and home.tokens < 1):
        _close(w, index, outcome)
        return
    home.tokens -= 1
    request.tries_left -= 1
    request.turn += 1
    wait = 0.0
    if rules.storm_retries == NOBODY and rules.backoff > 0:
        wait = rules.backoff * 2.0 ** (rules.retries - request.tries_left - 1) * np.random.random()
    schedule(w, at + wait, Event.ATTEMPT, index, request.turn)


@compiled
def give_up(w: Addresses, now: float, index: int, turn: int) -> None:
    """The timer of a try."""
    request = requests_of(w)[index]
    if request.turn != turn:
        return
    job = request.job
    if job != NOBODY and jobs_of(w)[job].turn == request.job_turn and jobs_of(w)[job].stage == Stage.LOST:
        tally_of(w)[Tally.LOST] += 1
        end(w, job)
    fail(w, index, now, Count.FAILED)


@compiled
def answer(w: Addresses, now: float, job: int) -> None:
    own = jobs_of(w)[job]
    request = requests_of(w)[own.request]
    if request.turn == own.request_turn and now <= own.deadline:
        latency = now - request.born + own.network
        bucket = int(np.ceil(np.log(max(latency, SHORTEST) / SHORTEST) / STEP))
        second = int(np.floor(request.born - rules_of(w).warm_up))
        if 0 <= second < seconds_of(w).shape[1]:
            latencies_of(w)[request.home, second, min(bucket, BUCKETS - 1)] += 1
        tally_of(w)[Tally.ANSWERED] += 1
        _close(w, own.request, Count.ANSWERED)
    else:
        tally_of(w)[Tally.LATE] += 1
    near = near_place(w, own.key)
    if near != NOBODY and (own.stage == Stage.HIT or own.stage == Stage.FILLED):
        near_of(w)[own.pod, near] = now + rules_of(w).near_ttl
    end(w, job)


@compiled
def refuse(w: Addresses, now: float, job: int) -> None:
    """An honest no, by the pod that let it in."""
    own = jobs_of(w)[job]
    tally_of(w)[Tally.REFUSED] += 1
    pods_of(w)[own.pod].debt += rules_of(w).refuse
    if requests_of(w)[own.request].turn == own.request_turn and now <= own.deadline:
        fail(w, own.request, now + own.network, Count.SHED)
    end(w, job)

"""Pods: one event loop each, first come first served, visited once or more by each job."""

import numpy as np

from kvplan.scenario.engine.arrays import (
    Addresses,
    compiled,
    count,
    draw,
    give_back,
    jobs_of,
    pods_of,
    regions_of,
    requests_of,
    rules_of,
    tally_of,
)
from kvplan.scenario.engine.heap import schedule
from kvplan.scenario.engine.state import NOBODY, Count, Event, Law, Stage, Tally


@compiled
def end(w: Addresses, job: int) -> None:
    """The pod forgets it."""
    pods_of(w)[jobs_of(w)[job].pod].in_flight -= 1
    give_back(w, Tally.FREE_JOB, jobs_of(w), job)


@compiled
def lose(w: Addresses, job: int) -> None:
    """Its pod is gone. The gateway counts it as under way until the client gives up."""
    own = jobs_of(w)[job]
    if requests_of(w)[own.request].turn == own.request_turn:
        own.stage = Stage.LOST
    else:
        tally_of(w)[Tally.LOST] += 1
        end(w, job)


@compiled
def _law_of(stage: int) -> int:
    if stage == Stage.FILLED:
        return Law.MISS
    if stage == Stage.WRITE:
        return Law.FIRST_WRITE
    if stage == Stage.WRITTEN:
        return Law.REST_WRITE
    return Law.HALF_READ


@compiled
def _serve(w: Addresses, now: float, job: int) -> None:
    own = jobs_of(w)[job]
    pod = pods_of(w)[own.pod]
    work = draw(w, own.region, _law_of(own.stage)) + pod.debt
    pod.debt = 0.0
    pod.serving = job
    count(w, own.region, now, Count.POD_BUSY, work)
    schedule(w, now + work, Event.POD, job, own.turn)


@compiled
def visit(w: Addresses, now: float, job: int) -> None:
    own = jobs_of(w)[job]
    pod = pods_of(w)[own.pod]
    if pod.lost or pod.epoch != own.epoch:
        lose(w, job)
    elif pod.serving == NOBODY:
        _serve(w, now, job)
    else:
        own.link = NOBODY
        if pod.head == NOBODY:
            pod.head = job
        else:
            jobs_of(w)[pod.tail].link = job
        pod.tail = job
        pod.waiting += 1


@compiled
def serve_next(w: Addresses, now: float, index: int) -> None:
    """With `deadline`, what nobody waits for is not begun."""
    pod = pods_of(w)[index]
    pod.serving = NOBODY
    while pod.head != NOBODY:
        job = pod.head
        pod.head = jobs_of(w)[job].link
        pod.waiting -= 1
        if rules_of(w).deadline and jobs_of(w)[job].deadline < now:
            tally_of(w)[Tally.DROPPED] += 1
            end(w, job)
        else:
            _serve(w, now, job)
            return


@compiled
def kill(w: Addresses, index: int) -> None:
    pod = pods_of(w)[index]
    pod.lost = 1
    pod.epoch += 1
    pod.debt = 0.0
    if pod.serving != NOBODY:
        lose(w, pod.serving)
        pod.serving = NOBODY
    while pod.head != NOBODY:
        job = pod.head
        pod.head = jobs_of(w)[job].link
        lose(w, job)
    pod.waiting = 0


@compiled
def choose(w: Addresses, region: int) -> int:
    """A pod that the gateway lists, by the balancing rule; NOBODY if there is none."""
    own = regions_of(w)[region]
    rule = rules_of(w).balancing
    if rule == LEAST_IN_FLIGHT:
        return _least(w, region)
    chosen = _any(w, region)
    if rule == ROUND_ROBIN:
        for _ in range(own.pods):
            own.next_pod = (own.next_pod + 1) % own.pods
            if pods_of(w)[own.first_pod + own.next_pod].listed:
                return int(own.first_pod + own.next_pod)
    if rule == POWER_OF_TWO:
        other = _any(w, region)
        if chosen != NOBODY and pods_of(w)[other].in_flight < pods_of(w)[chosen].in_flight:
            return other
    return chosen


RANDOM, ROUND_ROBIN, POWER_OF_TWO, LEAST_IN_FLIGHT = 0, 1, 2, 3  # the balancing rules


@compiled
def _any(w: Addresses, region: int) -> int:
    own = regions_of(w)[region]
    listed = 0
    for pod in range(own.first_pod, own.first_pod + own.pods):
        listed += pods_of(w)[pod].listed
    if listed == 0:
        return NOBODY
    while True:
        pod = own.first_pod + int(np.random.random() * own.pods)
        if pods_of(w)[pod].listed:
            return int(pod)


@compiled
def _least(w: Addresses, region: int) -> int:
    """Ties go to the first from a random place on."""
    own = regions_of(w)[region]
    start = int(np.random.random() * own.pods)
    best = NOBODY
    for step in range(own.pods):
        pod = own.first_pod + (start + step) % own.pods
        if pods_of(w)[pod].listed and (best == NOBODY or pods_of(w)[pod].in_flight < pods_of(w)[best].in_flight):
            best = pod
            if pods_of(w)[pod].in_flight == 0:
                break
    return best

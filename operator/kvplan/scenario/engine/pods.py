"""Pods: one event loop each, first come first served, visited once or more by each job."""

from kvplan.scenario.engine.heap import schedule
from kvplan.scenario.engine.state import (
    NOBODY,
    Count,
    Event,
    Law,
    Stage,
    Tally,
    World,
    compiled,
    count,
    draw,
    give_back,
)


@compiled
def end(w: World, job: int) -> None:
    """The pod forgets it."""
    w.pods[w.jobs[job].pod].in_flight -= 1
    give_back(w, Tally.FREE_JOB, w.jobs, job)


@compiled
def lose(w: World, job: int) -> None:
    """Its pod is gone. The gateway counts it as under way until the client gives up."""
    own = w.jobs[job]
    if w.requests[own.request].turn == own.request_turn:
        own.stage = Stage.LOST
    else:
        w.tally[Tally.LOST] += 1
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
def _serve(w: World, now: float, job: int) -> None:
    own = w.jobs[job]
    pod = w.pods[own.pod]
    work = draw(w.random, w.laws[own.region, _law_of(own.stage)]) + pod.debt
    pod.debt = 0.0
    pod.serving = job
    count(w, own.region, now, Count.POD_BUSY, work)
    schedule(w, now + work, Event.POD, job, own.turn)


@compiled
def visit(w: World, now: float, job: int) -> None:
    own = w.jobs[job]
    pod = w.pods[own.pod]
    if pod.lost or pod.epoch != own.epoch:
        lose(w, job)
    elif pod.serving == NOBODY:
        _serve(w, now, job)
    else:
        own.link = NOBODY
        if pod.head == NOBODY:
            pod.head = job
        else:
            w.jobs[pod.tail].link = job
        pod.tail = job
        pod.waiting += 1


@compiled
def serve_next(w: World, now: float, index: int) -> None:
    """With `deadline`, what nobody waits for is not begun."""
    pod = w.pods[index]
    pod.serving = NOBODY
    while pod.head != NOBODY:
        job = pod.head
        pod.head = w.jobs[job].link
        pod.waiting -= 1
        if w.rules[0].deadline and w.jobs[job].deadline < now:
            w.tally[Tally.DROPPED] += 1
            end(w, job)
        else:
            _serve(w, now, job)
            return


@compiled
def kill(w: World, index: int) -> None:
    pod = w.pods[index]
    pod.lost = 1
    pod.epoch += 1
    pod.debt = 0.0
    if pod.serving != NOBODY:
        lose(w, pod.serving)
        pod.serving = NOBODY
    while pod.head != NOBODY:
        job = pod.head
        pod.head = w.jobs[job].link
        lose(w, job)
    pod.waiting = 0


@compiled
def choose(w: World, region: int) -> int:
    """A pod that the gateway lists, by the balancing rule; NOBODY if there is none."""
    own = w.regions[region]
    rule = w.rules[0].balancing
    if rule == LEAST_IN_FLIGHT:
        return _least(w, region)
    chosen = _any(w, region)
    if rule == ROUND_ROBIN:
        for _ in range(own.pods):
            own.next_pod = (own.next_pod + 1) % own.pods
            if w.pods[own.first_pod + own.next_pod].listed:
                return int(own.first_pod + own.next_pod)
    if rule == POWER_OF_TWO:
        other = _any(w, region)
        if chosen != NOBODY and w.pods[other].in_flight < w.pods[chosen].in_flight:
            return other
    return chosen


RANDOM, ROUND_ROBIN, POWER_OF_TWO, LEAST_IN_FLIGHT = 0, 1, 2, 3  # the balancing rules


@compiled
def _any(w: World, region: int) -> int:
    own = w.regions[region]
    listed = 0
    for pod in range(own.first_pod, own.first_pod + own.pods):
        listed += w.pods[pod].listed
    if listed == 0:
        return NOBODY
    while True:
        pod = own.first_pod + int(w.random.random() * own.pods)
        if w.pods[pod].listed:
            return int(pod)


@compiled
def _least(w: World, region: int) -> int:
    """Ties go to the first from a random place on."""
    own = w.regions[region]
    start = int(w.random.random() * own.pods)
    best = NOBODY
    for step in range(own.pods):
        pod = own.first_pod + (start + step) % own.pods
        if w.pods[pod].listed and (best == NOBODY or w.pods[pod].in_flight < w.pods[best].in_flight):
            best = pod
            if w.pods[pod].in_flight == 0:
                break
    return best

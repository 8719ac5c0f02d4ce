"""A region's store: so many servers, one queue, first come first served; and what asks it less: coalescing, a bound on
the queue, a circuit breaker, hedges, old copies."""

from kvplan.scenario.engine import cache
from kvplan.scenario.engine.clients import refuse
from kvplan.scenario.engine.heap import schedule
from kvplan.scenario.engine.pods import end, visit
from kvplan.scenario.engine.state import (
    NEVER,
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
    take,
)


@compiled
def ask(w: World, now: float, job: int) -> None:
    own = w.jobs[job]
    rules, region = w.rules[0], w.regions[own.region]
    write = own.stage == Stage.WRITE
    stale = not write and rules.stale_for > 0 and cache.has_stale(w, own.region, own.key, now)
    if rules.coalescing and not write and w.filling[own.region, own.key] != NOBODY:
        _wait(w, w.filling[own.region, own.key], job)
    elif region.waiting >= rules.store_most or now < region.breaker_until:
        if stale:
            answer_stale(w, now, job)
        else:
            refuse(w, now, job)
        return
    else:
        if region.breaker_failures >= rules.breaker_row:  # the one that tries; the next has to wait again
            region.breaker_until = now + rules.breaker_pause
        work = _new_work(w, now, own.region, own.key, write)
        _wait(w, work, job)
        enqueue(w, now, work)
    if stale:
        schedule(w, now + rules.stale_after, Event.STALE, job, own.turn)


@compiled
def answer_stale(w: World, now: float, job: int) -> None:
    own = w.jobs[job]
    count(w, own.region, now, Count.STALE, 1)
    own.stage = Stage.FILLED
    visit(w, now, job)


@compiled
def _wait(w: World, work: int, job: int) -> None:
    w.jobs[job].stage = Stage.STORE
    node = take(w, Tally.FREE_NODE, Tally.USED_NODES, w.nodes)
    w.nodes[node].item = job
    w.nodes[node].link = w.works[work].first
    w.works[work].first = node
    w.nodes[node].turn = w.jobs[job].turn


@compiled
def _new_work(w: World, now: float, region: int, key: int, write: bool) -> int:
    index = take(w, Tally.FREE_WORK, Tally.USED_WORKS, w.works)
    work = w.works[index]
    work.asked = now
    work.key = key
    work.region = region
    work.write = write
    work.first = NOBODY
    if not write and w.rules[0].coalescing:
        w.filling[region, key] = index
    if not write and w.rules[0].hedge_after < NEVER:
        schedule(w, now + w.rules[0].hedge_after, Event.HEDGE, index, work.turn)
    return index


@compiled
def enqueue(w: World, now: float, work: int) -> None:
    """Also the second copy of it, a hedge."""
    region = w.regions[w.works[work].region]
    node = take(w, Tally.FREE_NODE, Tally.USED_NODES, w.nodes)
    w.nodes[node].item = work
    w.nodes[node].turn = w.works[work].turn
    w.nodes[node].link = NOBODY
    if region.head == NOBODY:
        region.head = node
    else:
        w.nodes[region.tail].link = node
    region.tail = node
    region.waiting += 1
    serve_next(w, now, w.works[work].region)


@compiled
def serve_next(w: World, now: float, index: int) -> None:
    """As many as there are servers. With `deadline`, what nobody waits for is not begun."""
    region, rules = w.regions[index], w.rules[0]
    while region.busy < region.servers and region.head != NOBODY:
        node = region.head
        region.head = w.nodes[node].link
        region.waiting -= 1
        work, turn = w.nodes[node].item, w.nodes[node].turn
        give_back(w, Tally.FREE_NODE, w.nodes, node)
        is_over = w.works[work].turn != turn  # its other copy was faster
        if rules.deadline and (is_over or not _is_wanted(w, now, work)):
            if not is_over:
                _drop(w, now, work)
            continue
        law = Law.STORE_WRITE if w.works[work].write else Law.STORE_READ
        clock_busy(w, now, index)
        region.busy += 1
        schedule(w, now + draw(w.random, w.laws[index, law]) * region.store_slow, Event.STORE + index, work, turn)


@compiled
def clock_busy(w: World, now: float, index: int) -> None:
    region = w.regions[index]
    region.busy_area += region.busy * (now - region.busy_since)
    region.busy_since = now


@compiled
def _is_waiting(w: World, node: int) -> bool:
    job = w.jobs[w.nodes[node].item]
    return bool(job.turn == w.nodes[node].turn and job.stage == Stage.STORE)


@compiled
def _is_wanted(w: World, now: float, work: int) -> bool:
    node = w.works[work].first
    while node != NOBODY:
        if _is_waiting(w, node) and w.jobs[w.nodes[node].item].deadline >= now:
            return True
        node = w.nodes[node].link
    return False


@compiled
def _close(w: World, now: float, index: int) -> int:
    """The work is over, one way or another; -> the first of the nodes of those who waited."""
    work = w.works[index]
    region = w.regions[work.region]
    if w.rules[0].coalescing and not work.write:
        w.filling[work.region, work.key] = NOBODY
    if now - work.asked <= w.rules[0].breaker_store:
        region.breaker_failures = 0
    else:
        region.breaker_failures += 1
        if region.breaker_failures >= w.rules[0].breaker_row:
            region.breaker_until = now + w.rules[0].breaker_pause
    first = int(work.first)
    give_back(w, Tally.FREE_WORK, w.works, index)
    return first


@compiled
def _drop(w: World, now: float, work: int) -> None:
    node = _close(w, now, work)
    while node != NOBODY:
        following = w.nodes[node].link
        if _is_waiting(w, node):
            w.tally[Tally.DROPPED] += 1
            end(w, w.nodes[node].item)
        give_back(w, Tally.FREE_NODE, w.nodes, node)
        node = following


@compiled
def done(w: World, now: float, index: int, work: int, turn: int) -> None:
    """A server of that region is free; who waited goes on, unless another copy was faster."""
    clock_busy(w, now, index)
    w.regions[index].busy -= 1
    if w.works[work].turn == turn:
        key, write = w.works[work].key, w.works[work].write
        cache.put(w, index, key, now)
        shard = w.shards[cache.shard_of(w, index, key)]
        shard.free_at = max(shard.free_at, now) + draw(w.random, w.laws[index, Law.CACHE]) * w.regions[index].cache_slow
        node = _close(w, now, work)
        while node != NOBODY:
            following = w.nodes[node].link
            if _is_waiting(w, node):
                w.jobs[w.nodes[node].item].stage = Stage.WRITTEN if write else Stage.FILLED
                visit(w, now, w.nodes[node].item)
            give_back(w, Tally.FREE_NODE, w.nodes, node)
            node = following
    serve_next(w, now, index)


@compiled
def hedge(w: World, now: float, work: int, turn: int) -> None:
    if w.works[work].turn == turn:
        count(w, w.works[work].region, now, Count.HEDGES, 1)
        enqueue(w, now, work)

"""A region's store: so many servers, one queue, first come first served; and what asks it less: coalescing, a bound on
the queue, a circuit breaker, hedges, old copies."""

from kvplan.scenario.engine import cache
from kvplan.scenario.engine.arrays import (
    Addresses,
    compiled,
    copies_of,
    count,
    draw,
    give_back,
    jobs_of,
    nodes_of,
    regions_of,
    rules_of,
    shards_of,
    take,
    tally_of,
    works_of,
)
from kvplan.scenario.engine.clients import refuse
from kvplan.scenario.engine.heap import schedule
from kvplan.scenario.engine.pods import end, visit
from kvplan.scenario.engine.state import NEVER, NOBODY, Count, Event, Law, Stage, Tally


@compiled
def ask(w: Addresses, now: float, job: int) -> None:
    own = jobs_of(w)[job]
    rules, region = rules_of(w), regions_of(w)[own.region]
    write = own.stage == Stage.WRITE
    stale = not write and own.old_copy
    if rules.coalescing and not write and copies_of(w)[own.region, own.key].filling != NOBODY:
        _wait(w, copies_of(w)[own.region, own.key].filling, job)
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
def answer_stale(w: Addresses, now: float, job: int) -> None:
    own = jobs_of(w)[job]
    count(w, own.region, now, Count.STALE, 1)
    own.stage = Stage.FILLED
    visit(w, now, job)


@compiled
def _wait(w: Addresses, work: int, job: int) -> None:
    jobs_of(w)[job].stage = Stage.STORE
    node = take(w, Tally.FREE_NODE, Tally.USED_NODES, nodes_of(w))
    nodes_of(w)[node].item = job
    nodes_of(w)[node].link = works_of(w)[work].first
    works_of(w)[work].first = node
    nodes_of(w)[node].turn = jobs_of(w)[job].turn


@compiled
def _new_work(w: Addresses, now: float, region: int, key: int, write: bool) -> int:
    index = take(w, Tally.FREE_WORK, Tally.USED_WORKS, works_of(w))
    work = works_of(w)[index]
    work.asked = now
    work.key = key
    work.region = region
    work.write = write
    work.first = NOBODY
    if not write and rules_of(w).coalescing:
        copies_of(w)[region, key].filling = index
    if not write and rules_of(w).hedge_after < NEVER:
        schedule(w, now + rules_of(w).hedge_after, Event.HEDGE, index, work.turn)
    return index


@compiled
def enqueue(w: Addresses, now: float, work: int) -> None:
    """Also the second copy of it, a hedge."""
    region = regions_of(w)[works_of(w)[work].region]
    node = take(w, Tally.FREE_NODE, Tally.USED_NODES, nodes_of(w))
    nodes_of(w)[node].item = work
    nodes_of(w)[node].turn = works_of(w)[work].turn
    nodes_of(w)[node].link = NOBODY
    if region.head == NOBODY:
        region.head = node
    else:
        nodes_of(w)[region.tail].link = node
    region.tail = node
    region.waiting += 1
    serve_next(w, now, works_of(w)[work].region)


@compiled
def serve_next(w: Addresses, now: float, index: int) -> None:
    """As many as there are servers. With `deadline`, what nobody waits for is not begun."""
    region, rules = regions_of(w)[index], rules_of(w)
    while region.busy < region.servers and region.head != NOBODY:
        node = region.head
        region.head = nodes_of(w)[node].link
        region.waiting -= 1
        work, turn = nodes_of(w)[node].item, nodes_of(w)[node].turn
        give_back(w, Tally.FREE_NODE, nodes_of(w), node)
        is_over = works_of(w)[work].turn != turn  # its other copy was faster
        if rules.deadline and (is_over or not _is_wanted(w, now, work)):
            if not is_over:
                _drop(w, now, work)
            continue
        law = Law.STORE_WRITE if works_of(w)[work].write else Law.STORE_READ
        clock_busy(w, now, index)
        region.busy += 1
        schedule(w, now + draw(w, index, law) * region.store_slow, Event.STORE + index, work, turn)


@compiled
def clock_busy(w: Addresses, now: float, index: int) -> None:
    region = regions_of(w)[index]
    region.busy_area += region.busy * (now - region.busy_since)
    region.busy_since = now


@compiled
def _is_waiting(w: Addresses, node: int) -> bool:
    job = jobs_of(w)[nodes_of(w)[node].item]
    return bool(job.turn == nodes_of(w)[node].turn and job.stage == Stage.STORE)


@compiled
def _is_wanted(w: Addresses, now: float, work: int) -> bool:
    node = works_of(w)[work].first
    while node != NOBODY:
        if _is_waiting(w, node) and jobs_of(w)[nodes_of(w)[node].item].deadline >= now:
            return True
        node = nodes_of(w)[node].link
    return False


@compiled
def _close(w: Addresses, now: float, index: int) -> int:
    """The work is over, one way or another; -> the first of the nodes of those who waited."""
    work = works_of(w)[index]
    region = regions_of(w)[work.region]
    if rules_of(w).coalescing and not work.write:
        copies_of(w)[work.region, work.key].filling = NOBODY
    if now - work.asked <= rules_of(w).breaker_store:
        region.breaker_failures = 0
    else:
        region.breaker_failures += 1
        if region.breaker_failures >= rules_of(w).breaker_row:
            region.breaker_until = now + rules_of(w).breaker_pause
    first = int(work.first)
    give_back(w, Tally.FREE_WORK, works_of(w), index)
    return first


@compiled
def _drop(w: Addresses, now: float, work: int) -> None:
    node = _close(w, now, work)
    while node != NOBODY:
        following = nodes_of(w)[node].link
        if _is_waiting(w, node):
            tally_of(w)[Tally.DROPPED] += 1
            end(w, nodes_of(w)[node].item)
        give_back(w, Tally.FREE_NODE, nodes_of(w), node)
        node = following


@compiled
def _fill(w: Addresses, now: float, region: int, key: int) -> None:
    """Into the cache, unless its shard is left alone. Nobody waits for it."""
    shard = shards_of(w)[cache.shard_of(w, region, key)]
    if now >= shard.breaker_until:
        shard.free_at = max(shard.free_at, now) + draw(w, region, Law.CACHE) * regions_of(w)[region].cache_slow
        cache.put(w, region, key, now)


@compiled
def done(w: Addresses, now: float, index: int, work: int, turn: int) -> None:
    """A server of that region is free; who waited goes on, unless another copy was faster."""
    clock_busy(w, now, index)
    regions_of(w)[index].busy -= 1
    if works_of(w)[work].turn == turn:
        key, write = works_of(w)[work].key, works_of(w)[work].write
        _fill(w, now, index, key)
        node = _close(w, now, work)
        while node != NOBODY:
            following = nodes_of(w)[node].link
            if _is_waiting(w, node):
                jobs_of(w)[nodes_of(w)[node].item].stage = Stage.WRITTEN if write else Stage.FILLED
                visit(w, now, nodes_of(w)[node].item)
            give_back(w, Tally.FREE_NODE, nodes_of(w), node)
            node = following
    serve_next(w, now, index)


@compiled
def hedge(w: Addresses, now: float, work: int, turn: int) -> None:
    if works_of(w)[work].turn == turn:
        count(w, works_of(w)[work].region, now, Count.HEDGES, 1)
        enqueue(w, now, work)

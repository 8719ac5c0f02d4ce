"""The events of a system, one after the other in time: what happens at each, in machine code.

A request that arrives starts a try; a try goes through its class's steps; a visit sends jobs, one a copy, each to a
pool of its own, where they queue.

Losers of a quorum or a hedge are not cancelled, neither served nor queued ones, nor are tries whose client has given
up: they go on through all their steps. A hop is drawn once a copy; half of it is the way there. A pool is chosen when
its job is sent, by what is in flight at that moment, which the job is only when it comes.

Everything lies in one memory of 8-byte cells, seen as integers (`cells`) and as floats (`reals`); a thing is known by
the address of its record, and 0 is none. That is what compiles fast and runs fast: many arrays, handed from function to
function, did neither. `memory` lays it out, draws the times and gives more room when `advance` returns for want of
either.
"""

import numpy as np
from numpy.typing import NDArray

from kvplan.laws import Floats
from kvplan.simulate.compiled import compiled, inner

Ints = NDArray[np.int64]

# At address 0, whole numbers. HEAP: address of the events, EVENTS of them, room for HEAP_ROOM. FRESH: memory not used
# yet, up to END. IDLE_TRY, IDLE_JOB: chains of records to use again. ROOM: more than one event needs of anything.
HEAP, EVENTS, HEAP_ROOM, FRESH, END, IDLE_TRY, IDLE_JOB, TRY_SIZE, ROOM = range(9)
# The next request, the first that counts, the end of them; visits begun so far; whether draws have run low.
NEXT, FIRST, LAST, UNDECIDED, VISITS, COUNTING, DRY, RETRIES, CLASSES, UNIFORM, BETWEEN = range(9, 20)
# Times: the next arrival; from when until when is counted; of a request's patience.
ARRIVAL, COUNT_FROM, COUNT_TO, TIMEOUT, WORLD = range(20, 25)

# A class: where it ends in [0, 1), its steps; classes lie one after the other.
UPTO, FIRST_STEP, END_STEP, CLASS = range(4)
# A step. AT: its station, 0 for a pause. LATER: the most copies of a later visit of the class there. MARKS: 1 if the
# latency counts from its service. SERVICE, HOP: the sources of its times.
AT, COPIES, NEEDED, LATER, MARKS, SERVICE, HOP, HEDGE, STEP = range(9)
# A source of draws: how many of its block are used up, then the block.
DRAWN, DRAWS = range(2)
# A station; its pools lie one after the other. PLACE: where its pools are in a try. NEXT_POOL: round robin's. IN_TURNS:
# 1 if it is served in turns. BUSY, WAITED: times in sum, of BEGUN services.
POOLS, FIRST_POOL, BALANCING, PLACE, NEXT_POOL, IN_TURNS, BUSY, WAITED, BEGUN, STATION = range(10)
# A pool: its idle servers, its queue, the requests in flight. If it is served in turns: the last job of this turn, and
# those that were served in it.
IDLE, HEAD, TAIL, IN_FLIGHT, LAST_OF_TURN, DONE, LAST_DONE, POOL = range(8)
# A request: its class; from when its latency counts, nan until then; when its present try is given up; that try's
# number from 1, 0 when decided; its latency.
OF_CLASS, SINCE, DEADLINE, TRIED, LATENCY, REQUEST = range(6)
# A try. VISITING: number of the visit under way, 0 for none, MISSING so many answers. HOLDS: its jobs, and itself until
# it ends; an idle one's next. Then, for each station, how many pools it has, and (pool, is it in flight there) of each.
BY, NUMBER, NOW_AT, STOP, VISITING, MISSING, HOLDS, TRY = range(8)
# A job: of which try, step, visit; its pool, which of the try's pools there that is; the job behind it, or next idle;
# its service, its way back, when it came.
OF_TRY, OF_STEP, OF_VISIT, IN_POOL, COPY, BEHIND, LASTS, BACK, CAME, JOB = range(10)

RANDOM, ROUND_ROBIN, POWER_OF_TWO, LEAST_IN_FLIGHT = range(4)

# Kinds of event, in the order in which those of one moment happen: an answer just in time is in time.
LEFT, SERVED, ANSWERED, SENT, PAUSED, HEDGED, TIMED_OUT = range(7)
BLOCK = 8192  # draws of a source at once
_KIND = 1 << 48  # an event is its kind times this, plus the address of what it happens to


@compiled
def advance(cells: Ints, reals: Floats) -> None:
    """Plays until every request is decided, or draws or room run low."""
    while cells[UNDECIDED] > 0 and cells[DRY] == 0 and _has_room(cells):
        if cells[EVENTS] == 0 or reals[ARRIVAL] < reals[cells[HEAP]]:
            _arrive(cells, reals)
            continue
        now, event = reals[cells[HEAP]], cells[cells[HEAP] + 1]
        _pop(cells, reals)
        kind, what = event // _KIND, event % _KIND
        if kind == SERVED:
            _end_service(cells, reals, now, what)
        elif kind == LEFT:
            _leave_turn(cells, reals, now, what)
        elif kind == ANSWERED:
            _answer(cells, reals, now, what)
        elif kind == SENT:
            _enter(cells, reals, now, what)
        elif kind == PAUSED:
            _proceed(cells, reals, now, what)
        elif kind == HEDGED:
            _hedge(cells, reals, now, what)
        else:
            _time_out(cells, reals, now, what)


@inner
def _has_room(cells: Ints) -> bool:
    """For one more event: a new try and all its jobs, and what they push."""
    fits = cells[FRESH] + cells[TRY_SIZE] + cells[ROOM] * JOB <= cells[END]
    return bool(fits and cells[EVENTS] + cells[ROOM] <= cells[HEAP_ROOM])


@inner
def _arrive(cells: Ints, reals: Floats) -> None:
    now, request, each, share = reals[ARRIVAL], cells[NEXT], cells[CLASSES], _draw(cells, reals, cells[UNIFORM])
    cells[NEXT] += REQUEST
    while share >= reals[each + UPTO]:
        each += CLASS
    cells[request + OF_CLASS] = each
    reals[request + SINCE] = np.nan if cells[cells[each + FIRST_STEP] + MARKS] else now
    if request == cells[FIRST]:
        cells[COUNTING] = 1
        reals[COUNT_FROM] = now
    if cells[NEXT] == cells[LAST]:
        cells[COUNTING] = 0
        reals[COUNT_TO] = now
        reals[ARRIVAL] = np.inf
    else:
        reals[ARRIVAL] = now + _draw(cells, reals, cells[BETWEEN])
    _start(cells, reals, now, request)


@inner
def _start(cells: Ints, reals: Floats, now: float, request: int) -> None:
    """One more try."""
    cells[request + TRIED] += 1
    if reals[TIMEOUT] < np.inf:
        reals[request + DEADLINE] = now + reals[TIMEOUT]
        _push(cells, reals, now + reals[TIMEOUT], TIMED_OUT, request)
    size, each = cells[TRY_SIZE], cells[request + OF_CLASS]
    attempt = _record(cells, IDLE_TRY, HOLDS, size)
    cells[attempt : attempt + size] = 0
    cells[attempt + BY] = request
    cells[attempt + NUMBER] = cells[request + TRIED]
    cells[attempt + NOW_AT] = cells[each + FIRST_STEP]
    cells[attempt + STOP] = cells[each + END_STEP]
    cells[attempt + HOLDS] = 1
    _proceed(cells, reals, now, attempt)


@inner
def _time_out(cells: Ints, reals: Floats, now: float, request: int) -> None:
    if cells[request + TRIED] == 0 or reals[request + DEADLINE] != now:
        return
    if cells[request + TRIED] <= cells[RETRIES]:
        _start(cells, reals, now, request)
    else:
        _decide(cells, reals, request, np.inf)


@inner
def _decide(cells: Ints, reals: Floats, request: int, latency: float) -> None:
    reals[request + LATENCY] = latency
    cells[request + TRIED] = 0
    cells[UNDECIDED] -= 1


@inner
def _proceed(cells: Ints, reals: Floats, now: float, attempt: int) -> None:
    """Begins the next step that takes time, or ends."""
    step = cells[attempt + NOW_AT]
    while step < cells[attempt + STOP]:
        cells[attempt + NOW_AT] = step + STEP
        if cells[step + AT]:
            _visit(cells, reals, now, attempt, step)
            return
        lasts = _draw(cells, reals, cells[step + SERVICE])
        if lasts > 0:
            _push(cells, reals, now + lasts, PAUSED, attempt)
            return
        step += STEP
    request = cells[attempt + BY]
    if cells[request + TRIED] == cells[attempt + NUMBER]:
        _decide(cells, reals, request, now - reals[request + SINCE])
    _let_go(cells, attempt)


@inner
def _visit(cells: Ints, reals: Floats, now: float, attempt: int, step: int) -> None:
    cells[VISITS] += 1
    cells[attempt + VISITING] = cells[VISITS]
    cells[attempt + MISSING] = cells[step + NEEDED]
    copies = cells[step + COPIES]
    hedged = copies if reals[step + HEDGE] < np.inf else -1
    for copy in range(copies + (hedged >= 0)):
        job = _record(cells, IDLE_JOB, BEHIND, JOB)
        cells[job + OF_TRY] = attempt
        cells[job + OF_STEP] = step
        cells[job + OF_VISIT] = cells[attempt + VISITING]
        cells[job + COPY] = copy
        cells[attempt + HOLDS] += 1
        if copy == hedged:
            _push(cells, reals, now + reals[step + HEDGE], HEDGED, job)
        else:
            _send(cells, reals, now, job)


@inner
def _hedge(cells: Ints, reals: Floats, now: float, job: int) -> None:
    if cells[cells[job + OF_TRY] + VISITING] == cells[job + OF_VISIT]:
        _send(cells, reals, now, job)
    else:
        _end_job(cells, job)


@inner
def _send(cells: Ints, reals: Floats, now: float, job: int) -> None:
    step = cells[job + OF_STEP]
    cells[job + IN_POOL] = _pool(cells, reals, cells[job + OF_TRY], cells[step + AT], cells[job + COPY])
    reals[job + LASTS] = _draw(cells, reals, cells[step + SERVICE])
    if cells[step + HOP]:
        way = _draw(cells, reals, cells[step + HOP]) / 2
        reals[job + BACK] = way
        _push(cells, reals, now + way, SENT, job)
    else:
        reals[job + BACK] = 0.0
        _enter(cells, reals, now, job)


@inner
def _enter(cells: Ints, reals: Floats, now: float, job: int) -> None:
    """The job has come to its pool."""
    pool, flag = cells[job + IN_POOL], _flag(cells, job)
    if cells[flag] == 0:
        cells[flag] = 1
        cells[pool + IN_FLIGHT] += 1
    reals[job + CAME] = now
    if cells[pool + IDLE] > 0:
        cells[pool + IDLE] -= 1
        cells[pool + LAST_OF_TURN] = job
        _begin_service(cells, reals, now, job)
        return
    _append(cells, pool + HEAD, job)


@inner
def _append(cells: Ints, chain: int, job: int) -> None:
    """To a chain of jobs, of which the first and the last are there."""
    cells[job + BEHIND] = 0
    if cells[chain]:
        cells[cells[chain + 1] + BEHIND] = job
    else:
        cells[chain] = job
    cells[chain + 1] = job


@inner
def _begin_service(cells: Ints, reals: Floats, now: float, job: int) -> None:
    step, lasts = cells[job + OF_STEP], reals[job + LASTS]
    if cells[COUNTING]:
        station = cells[step + AT]
        reals[station + BUSY] += lasts
        reals[station + WAITED] += now - reals[job + CAME]
        cells[station + BEGUN] += 1
    if cells[step + MARKS]:
        request = cells[cells[job + OF_TRY] + BY]
        if np.isnan(reals[request + SINCE]):
            reals[request + SINCE] = now
    _push(cells, reals, now + lasts, SERVED, job)


@inner
def _end_service(cells: Ints, reals: Floats, now: float, job: int) -> None:
    pool = cells[job + IN_POOL]
    if cells[cells[cells[job + OF_STEP] + AT] + IN_TURNS]:
        _see_from_inside(cells, reals, now, job)
        _append(cells, pool + DONE, job)
        if job == cells[pool + LAST_OF_TURN]:
            _push(cells, reals, now, LEFT, pool)
        else:
            _serve_next(cells, reals, now, pool)
        return
    _serve_next(cells, reals, now, pool)
    _leave(cells, reals, now, job)


@inner
def _see_from_inside(cells: Ints, reals: Floats, now: float, job: int) -> None:
    """A latency that counts from a service ends with one: with the last step's, if it comes back at once."""
    attempt = cells[job + OF_TRY]
    request = cells[attempt + BY]
    from_service = cells[cells[cells[request + OF_CLASS] + FIRST_STEP] + MARKS]
    is_last = cells[attempt + NOW_AT] == cells[attempt + STOP] and reals[job + BACK] == 0
    is_awaited = cells[attempt + VISITING] == cells[job + OF_VISIT] and cells[attempt + MISSING] == 1
    if from_service and is_last and is_awaited and cells[request + TRIED] == cells[attempt + NUMBER]:
        _decide(cells, reals, request, now - reals[request + SINCE])


@inner
def _leave_turn(cells: Ints, reals: Floats, now: float, pool: int) -> None:
    """The first of those that were served in the turn. What comes meanwhile is for the next turn."""
    job = cells[pool + DONE]
    cells[pool + DONE] = cells[job + BEHIND]
    _leave(cells, reals, now, job)
    if cells[pool + DONE]:
        _push(cells, reals, now, LEFT, pool)
    else:
        cells[pool + LAST_OF_TURN] = cells[pool + TAIL]
        _serve_next(cells, reals, now, pool)


@inner
def _serve_next(cells: Ints, reals: Floats, now: float, pool: int) -> None:
    following = cells[pool + HEAD]
    if following:
        cells[pool + HEAD] = cells[following + BEHIND]
        _begin_service(cells, reals, now, following)
    else:
        cells[pool + IDLE] += 1


@inner
def _leave(cells: Ints, reals: Floats, now: float, job: int) -> None:
    pool, flag = cells[job + IN_POOL], _flag(cells, job)
    if cells[flag] and cells[cells[job + OF_STEP] + LATER] <= cells[job + COPY]:
        cells[flag] = 0
        cells[pool + IN_FLIGHT] -= 1
    if reals[job + BACK] > 0:
        _push(cells, reals, now + reals[job + BACK], ANSWERED, job)
    else:
        _answer(cells, reals, now, job)


@inner
def _answer(cells: Ints, reals: Floats, now: float, job: int) -> None:
    attempt = cells[job + OF_TRY]
    if cells[attempt + VISITING] == cells[job + OF_VISIT]:
        cells[attempt + MISSING] -= 1
        if cells[attempt + MISSING] == 0:
            cells[attempt + VISITING] = 0
            _proceed(cells, reals, now, attempt)
    _end_job(cells, job)


@inner
def _end_job(cells: Ints, job: int) -> None:
    cells[job + BEHIND] = cells[IDLE_JOB]
    cells[IDLE_JOB] = job
    _let_go(cells, cells[job + OF_TRY])


@inner
def _let_go(cells: Ints, attempt: int) -> None:
    cells[attempt + HOLDS] -= 1
    if cells[attempt + HOLDS] == 0:
        cells[attempt + HOLDS] = cells[IDLE_TRY]
        cells[IDLE_TRY] = attempt


@inner
def _record(cells: Ints, idle: int, following: int, size: int) -> int:
    """An idle one, or a new one."""
    record = cells[idle]
    if record:
        cells[idle] = cells[record + following]
    else:
        record = cells[FRESH]
        cells[FRESH] += size
    return int(record)


@inner
def _flag(cells: Ints, job: int) -> int:
    """Where the job's try says whether it is in flight at the job's pool."""
    station = cells[cells[job + OF_STEP] + AT]
    return int(cells[job + OF_TRY] + cells[station + PLACE] + 2 + 2 * cells[job + COPY])


@inner
def _pool(cells: Ints, reals: Floats, attempt: int, station: int, copy: int) -> int:
    """The pool of the try's copies of that number at a station: that of its earlier visits, or one not yet its own."""
    own = attempt + cells[station + PLACE]
    while cells[own] <= copy:
        one_pool = cells[station + POOLS] == 1
        pool = cells[station + FIRST_POOL] if one_pool else _choice(cells, reals, station, own)
        cells[own + 1 + 2 * cells[own]] = pool
        cells[own] += 1
    return int(cells[own + 1 + 2 * copy])


@inner
def _choice(cells: Ints, reals: Floats, station: int, own: int) -> int:
    """A pool that is not among the try's own, by the station's balancing."""
    first, balancing, left = (
        cells[station + FIRST_POOL],
        cells[station + BALANCING],
        cells[station + POOLS] - cells[own],
    )
    end = first + cells[station + POOLS] * POOL
    if balancing == ROUND_ROBIN:
        return _in_turn(cells, station, own, first, end)
    if balancing == LEAST_IN_FLIGHT:
        return _least_in_flight(cells, reals, own, first, end)
    one = int(_draw(cells, reals, cells[UNIFORM]) * left)
    pool = _other(cells, own, first, one)
    if balancing == POWER_OF_TWO and left > 1:
        two = int(_draw(cells, reals, cells[UNIFORM]) * (left - 1))
        rival = _other(cells, own, first, two + (two >= one))
        if cells[rival + IN_FLIGHT] < cells[pool + IN_FLIGHT]:
            return rival
    return pool


@inner
def _in_turn(cells: Ints, station: int, own: int, first: int, end: int) -> int:
    pool = cells[station + NEXT_POOL]
    while _has(cells, own, pool):
        pool = pool + POOL if pool + POOL < end else first
    cells[station + NEXT_POOL] = pool + POOL if pool + POOL < end else first
    return int(pool)


@inner
def _least_in_flight(cells: Ints, reals: Floats, own: int, first: int, end: int) -> int:
    least, ties, least_pool = 1 << 60, 0, first
    for pool in range(first, end, POOL):
        in_flight = cells[pool + IN_FLIGHT]
        if in_flight <= least and not _has(cells, own, pool):
            ties = ties + 1 if in_flight == least else 1
            least = in_flight
            least_pool = pool
    if ties == 1:
        return least_pool
    which = int(_draw(cells, reals, cells[UNIFORM]) * ties)
    for pool in range(first, end, POOL):
        if cells[pool + IN_FLIGHT] == least and not _has(cells, own, pool):
            if which == 0:
                return pool
            which -= 1
    return least_pool


@inner
def _other(cells: Ints, own: int, first: int, number: int) -> int:
    """The pool of that number, from 0, among those that are not the try's own."""
    if cells[own] == 0:
        return first + number * POOL
    pool = first
    while number > 0 or _has(cells, own, pool):
        number -= not _has(cells, own, pool)
        pool += POOL
    return pool


@inner
def _has(cells: Ints, own: int, pool: int) -> bool:
    for number in range(cells[own]):  # noqa: SIM110, machine code
        if cells[own + 1 + 2 * number] == pool:
            return True
    return False


@inner
def _draw(cells: Ints, reals: Floats, source: int) -> float:
    drawn = cells[source + DRAWN]
    cells[source + DRAWN] = drawn + 1
    if drawn + cells[ROOM] >= BLOCK:
        cells[DRY] = 1
    return float(reals[source + DRAWS + drawn])


@inner
def _push(cells: Ints, reals: Floats, time: float, kind: int, what: int) -> None:
    heap, event, hole = cells[HEAP], kind * _KIND + what, cells[EVENTS]
    cells[EVENTS] += 1
    while hole > 0:
        parent = (hole - 1) >> 1
        above = heap + 2 * parent
        if not _is_before(time, event, reals[above], cells[above + 1]):
            break
        reals[heap + 2 * hole], cells[heap + 2 * hole + 1] = reals[above], cells[above + 1]
        hole = parent
    reals[heap + 2 * hole], cells[heap + 2 * hole + 1] = time, event


@inner
def _pop(cells: Ints, reals: Floats) -> None:
    """Takes the first event away."""
    cells[EVENTS] -= 1
    heap = cells[HEAP]
    end = heap + 2 * cells[EVENTS]
    time, event, hole, child = reals[end], cells[end + 1], heap, heap + 2
    while child < end:
        other = child + 2
        if other < end and _is_before(reals[other], cells[other + 1], reals[child], cells[child + 1]):
            child = other
        if _is_before(time, event, reals[child], cells[child + 1]):
            break
        reals[hole], cells[hole + 1] = reals[child], cells[child + 1]
        hole, child = child, 2 * child - heap + 2
    reals[hole], cells[hole + 1] = time, event


@inner
def _is_before(time: float, event: int, other_time: float, other_event: int) -> bool:
    return time < other_time or (time == other_time and event < other_event)

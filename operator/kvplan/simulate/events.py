"""The events of a system, one after the other in time: what happens at each, in machine code.

A request that arrives starts a try; a try goes through its class's steps; a visit sends jobs, one a copy, each to a
pool of its own, where they queue. `tables` makes the arrays, draws the times and gives more room when `advance` returns
for want of either.

Losers of a quorum or a hedge are not cancelled, neither served nor queued ones, nor are tries whose client has given
up: they go on through all their steps. A hop is drawn once a copy; half of it is the way there.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvplan.laws import Floats
from kvplan.simulate.compiled import compiled

Ints = NDArray[np.int64]

RANDOM, ROUND_ROBIN, POWER_OF_TWO, LEAST_IN_FLIGHT = range(4)

# Columns of `stations`. OFFSET: where its pools begin in a row of `tries`.
POOLS, FIRST_POOL, BALANCING, OFFSET = range(4)
# Columns of `steps`. STATION is -1 for a pause; LATER: the most copies of a later visit of the class at that station;
# MARKS: 1 if the latency counts from here; SERVICE and HOP: which source draws them, -1 for none.
STATION, COPIES, NEEDED, LATER, MARKS, SERVICE, HOP = range(7)
# Columns of `pools`. IDLE: servers.
IDLE, HEAD, TAIL, IN_FLIGHT = range(4)
# Columns of `tries`, before its pools: for each station how many it has, and (pool, counted in flight) of each.
# VISIT: number of the visit under way, 0 for none; HOLDS: its jobs, and itself until it ends.
REQUEST, NUMBER, STEP, END, VISIT, MISSING, HOLDS, TRY_COLUMNS = range(8)
# Columns of `jobs`. COPY: which of the try's pools there.
TRY, AT_STEP, OF_VISIT, POOL, COPY, BEHIND, JOB_COLUMNS = range(7)
LASTS, BACK, SINCE, JOB_TIMES = range(4)
# Entries of `counters` and `clock`.
EVENTS, IDLE_TRIES, IDLE_JOBS, ARRIVED, VISITS, UNDECIDED, COUNTING, DRY, COUNTERS = range(9)
ARRIVAL, COUNT_FROM, COUNT_TO, CLOCK = range(4)
# Columns of `sums`, of each station.
BUSY, WAITED, BEGUN, SUMS = range(4)
# Kinds of event, in the order in which those of one moment happen: an answer just in time is in time.
SERVED, ANSWERED, SENT, PAUSED, HEDGED, TIMED_OUT = range(6)

UNIFORM, BETWEEN, SOURCES = range(3)  # the sources of draws that every system has; those of its steps follow
_KIND = 1 << 48  # an event is its kind times this, plus what it happens to


class State(NamedTuple):
    """All that changes, and what it follows. Times in seconds."""

    stations: Ints  # [station, …]
    steps: Ints  # [step, …], class after class
    hedges: Floats  # [step]; inf for none
    first_steps: Ints  # [class + 1]
    shares: Floats  # [class], cumulated
    timeout: float  # inf for none
    retries: int
    first: int  # number of the first request that counts
    room: int  # more jobs, events or draws of one source than one event needs

    draws: Floats  # [source, …]
    drawn: Ints  # [source]
    robin: Ints  # [station]: whose turn it is
    pools: Ints  # [pool, …]
    tries: Ints  # [try, …]
    idle_tries: Ints  # a stack
    jobs: Ints  # [job, …]
    job_times: Floats  # [job, …]
    idle_jobs: Ints  # a stack
    times: Floats  # of the events, a binary heap
    events: Ints  # likewise
    counters: Ints
    clock: Floats
    sums: Floats  # [station, …]

    classes: Ints  # [request]
    begun: Floats  # [request]: from when its latency counts; nan until then
    deadlines: Floats  # [request]: of its present try
    tried: Ints  # [request]: number of its present try from 1; -1 when decided
    latencies: Floats  # [request]; inf for one whose client gave up


@compiled
def advance(s: State) -> None:
    """Plays until every request is decided, or draws or room run low."""
    counters = s.counters
    while counters[UNDECIDED] > 0 and counters[DRY] == 0 and _has_room(s):
        if counters[EVENTS] == 0 or s.clock[ARRIVAL] < s.times[0]:
            _arrive(s)
            continue
        now = s.times[0]
        kind, what = divmod(s.events[0], _KIND)
        _pop(s)
        if kind == SERVED:
            _end_service(s, now, what)
        elif kind == ANSWERED:
            _answer(s, now, what)
        elif kind == SENT:
            _enter(s, now, what)
        elif kind == PAUSED:
            _proceed(s, now, what)
        elif kind == HEDGED:
            _hedge(s, now, what)
        else:
            _time_out(s, now, what)


@compiled
def _has_room(s: State) -> bool:
    counters = s.counters
    enough = counters[IDLE_TRIES] > 0 and counters[IDLE_JOBS] >= s.room and counters[EVENTS] + s.room <= len(s.times)
    return bool(enough)


@compiled
def _arrive(s: State) -> None:
    now, request = s.clock[ARRIVAL], s.counters[ARRIVED]
    s.counters[ARRIVED] += 1
    s.classes[request] = np.searchsorted(s.shares, _draw(s, UNIFORM), side="right")
    if s.steps[s.first_steps[s.classes[request]], MARKS] == 0:
        s.begun[request] = now
    if request == s.first:
        s.counters[COUNTING] = 1
        s.clock[COUNT_FROM] = now
    if s.counters[ARRIVED] == len(s.classes):
        s.counters[COUNTING] = 0
        s.clock[COUNT_TO] = now
        s.clock[ARRIVAL] = np.inf
    else:
        s.clock[ARRIVAL] = now + _draw(s, BETWEEN)
    _start(s, now, request)


@compiled
def _start(s: State, now: float, request: int) -> None:
    s.tried[request] += 1
    if s.timeout < np.inf:
        s.deadlines[request] = now + s.timeout
        _push(s, now + s.timeout, TIMED_OUT, request)
    s.counters[IDLE_TRIES] -= 1
    slot = s.idle_tries[s.counters[IDLE_TRIES]]
    each = s.tries[slot]
    each[:] = 0
    each[REQUEST] = request
    each[NUMBER] = s.tried[request]
    each[STEP] = s.first_steps[s.classes[request]] - 1
    each[END] = s.first_steps[s.classes[request] + 1]
    each[HOLDS] = 1
    _proceed(s, now, slot)


@compiled
def _time_out(s: State, now: float, request: int) -> None:
    if s.tried[request] < 0 or s.deadlines[request] != now:
        return
    if s.tried[request] <= s.retries:
        _start(s, now, request)
    else:
        _decide(s, request, np.inf)


@compiled
def _decide(s: State, request: int, latency: float) -> None:
    s.latencies[request] = latency
    s.tried[request] = -1
    s.counters[UNDECIDED] -= 1


@compiled
def _proceed(s: State, now: float, slot: int) -> None:
    """To the next step that takes time, or to the end."""
    each = s.tries[slot]
    each[STEP] += 1
    while each[STEP] < each[END]:
        step = each[STEP]
        if s.steps[step, STATION] >= 0:
            _visit(s, now, slot, step)
            return
        lasts = _draw(s, s.steps[step, SERVICE])
        if lasts > 0:
            _push(s, now + lasts, PAUSED, slot)
            return
        each[STEP] += 1
    request = each[REQUEST]
    if s.tried[request] == each[NUMBER]:
        _decide(s, request, now - s.begun[request])
    _let_go(s, slot)


@compiled
def _let_go(s: State, slot: int) -> None:
    s.tries[slot, HOLDS] -= 1
    if s.tries[slot, HOLDS] == 0:
        s.idle_tries[s.counters[IDLE_TRIES]] = slot
        s.counters[IDLE_TRIES] += 1


@compiled
def _visit(s: State, now: float, slot: int, step: int) -> None:
    s.counters[VISITS] += 1
    s.tries[slot, VISIT] = s.counters[VISITS]
    s.tries[slot, MISSING] = s.steps[step, NEEDED]
    for copy in range(s.steps[step, COPIES]):
        _send(s, now, _job(s, slot, step, copy))
    if s.hedges[step] < np.inf:
        _push(s, now + s.hedges[step], HEDGED, _job(s, slot, step, 1))


@compiled
def _hedge(s: State, now: float, job: int) -> None:
    if s.tries[s.jobs[job, TRY], VISIT] == s.jobs[job, OF_VISIT]:
        _send(s, now, job)
    else:
        _end_job(s, job)


@compiled
def _job(s: State, slot: int, step: int, copy: int) -> int:
    s.counters[IDLE_JOBS] -= 1
    job = s.idle_jobs[s.counters[IDLE_JOBS]]
    s.jobs[job, TRY] = slot
    s.jobs[job, AT_STEP] = step
    s.jobs[job, OF_VISIT] = s.tries[slot, VISIT]
    s.jobs[job, COPY] = copy
    s.jobs[job, BEHIND] = -1
    s.tries[slot, HOLDS] += 1
    return int(job)


@compiled
def _end_job(s: State, job: int) -> None:
    s.idle_jobs[s.counters[IDLE_JOBS]] = job
    s.counters[IDLE_JOBS] += 1
    _let_go(s, s.jobs[job, TRY])


@compiled
def _send(s: State, now: float, job: int) -> None:
    step = s.jobs[job, AT_STEP]
    s.jobs[job, POOL] = _pool(s, s.tries[s.jobs[job, TRY]], s.steps[step, STATION], s.jobs[job, COPY])
    s.job_times[job, LASTS] = _draw(s, s.steps[step, SERVICE])
    s.job_times[job, BACK] = 0.0
    if s.steps[step, HOP] >= 0:
        s.job_times[job, BACK] = _draw(s, s.steps[step, HOP]) / 2
        _push(s, now + s.job_times[job, BACK], SENT, job)
    else:
        _enter(s, now, job)


@compiled
def _enter(s: State, now: float, job: int) -> None:
    """The job has come to its pool."""
    pool = s.pools[s.jobs[job, POOL]]
    counted = _counted(s, job)
    each = s.tries[s.jobs[job, TRY]]
    if each[counted] == 0:
        each[counted] = 1
        pool[IN_FLIGHT] += 1
    s.job_times[job, SINCE] = now
    if pool[IDLE] > 0:
        pool[IDLE] -= 1
        _begin_service(s, now, job)
        return
    if pool[HEAD] < 0:
        pool[HEAD] = job
    else:
        s.jobs[pool[TAIL], BEHIND] = job
    pool[TAIL] = job


@compiled
def _begin_service(s: State, now: float, job: int) -> None:
    step, lasts = s.jobs[job, AT_STEP], s.job_times[job, LASTS]
    if s.counters[COUNTING] > 0:
        sums = s.sums[s.steps[step, STATION]]
        sums[BUSY] += lasts
        sums[WAITED] += now - s.job_times[job, SINCE]
        sums[BEGUN] += 1
    if s.steps[step, MARKS] > 0:
        request = s.tries[s.jobs[job, TRY], REQUEST]
        if np.isnan(s.begun[request]):
            s.begun[request] = now
    _push(s, now + lasts, SERVED, job)


@compiled
def _end_service(s: State, now: float, job: int) -> None:
    pool = s.pools[s.jobs[job, POOL]]
    counted = _counted(s, job)
    each = s.tries[s.jobs[job, TRY]]
    if each[counted] == 1 and s.steps[s.jobs[job, AT_STEP], LATER] <= s.jobs[job, COPY]:
        each[counted] = 0
        pool[IN_FLIGHT] -= 1
    following = pool[HEAD]
    if following < 0:
        pool[IDLE] += 1
    else:
        pool[HEAD] = s.jobs[following, BEHIND]
        _begin_service(s, now, following)
    if s.job_times[job, BACK] > 0:
        _push(s, now + s.job_times[job, BACK], ANSWERED, job)
    else:
        _answer(s, now, job)


@compiled
def _answer(s: State, now: float, job: int) -> None:
    slot = s.jobs[job, TRY]
    each = s.tries[slot]
    if each[VISIT] == s.jobs[job, OF_VISIT]:
        each[MISSING] -= 1
        if each[MISSING] == 0:
            each[VISIT] = 0
            _proceed(s, now, slot)
    _end_job(s, job)


@compiled
def _counted(s: State, job: int) -> int:
    """The column of the job's try that says whether it is counted in flight at the job's pool."""
    station = s.steps[s.jobs[job, AT_STEP], STATION]
    return int(s.stations[station, OFFSET] + 2 + 2 * s.jobs[job, COPY])


@compiled
def _pool(s: State, each: Ints, station: int, copy: int) -> int:
    """The pool of the try's copies of that number at a station: that of its earlier visits, or one not yet its own."""
    offset = s.stations[station, OFFSET]
    while each[offset] <= copy:
        pool = s.stations[station, FIRST_POOL]
        if s.stations[station, POOLS] > 1:
            pool = _choice(s, station, each[offset + 1 : offset + 1 + 2 * each[offset] : 2])
        each[offset + 1 + 2 * each[offset]] = pool
        each[offset] += 1
    return int(each[offset + 1 + 2 * copy])


@compiled
def _choice(s: State, station: int, own: Ints) -> int:
    """A pool that is not among the try's `own`, by the station's balancing."""
    first, pools, balancing = (
        s.stations[station, FIRST_POOL],
        s.stations[station, POOLS],
        s.stations[station, BALANCING],
    )
    left = pools - len(own)
    if balancing == ROUND_ROBIN:
        pool = first + s.robin[station]
        while _has(own, pool):
            pool = first + (pool - first + 1) % pools
        s.robin[station] = (pool - first + 1) % pools
        return int(pool)
    if balancing == LEAST_IN_FLIGHT:
        return _least_in_flight(s, first, pools, own)
    one = int(_draw(s, UNIFORM) * left)
    pool = _nth(own, first, one)
    if balancing == POWER_OF_TWO and left > 1:
        other = int(_draw(s, UNIFORM) * (left - 1))
        rival = _nth(own, first, other + (other >= one))
        if s.pools[rival, IN_FLIGHT] < s.pools[pool, IN_FLIGHT]:
            return rival
    return pool


@compiled
def _least_in_flight(s: State, first: int, pools: int, own: Ints) -> int:
    least, ties = np.iinfo(np.int64).max, 0
    for pool in range(first, first + pools):
        if s.pools[pool, IN_FLIGHT] <= least and not _has(own, pool):
            ties = 1 if s.pools[pool, IN_FLIGHT] < least else ties + 1
            least = s.pools[pool, IN_FLIGHT]
    which = int(_draw(s, UNIFORM) * ties) if ties > 1 else 0
    pool = first
    while True:
        if s.pools[pool, IN_FLIGHT] == least and not _has(own, pool):
            if which == 0:
                return pool
            which -= 1
        pool += 1


@compiled
def _nth(own: Ints, first: int, number: int) -> int:
    """The pool of that number, from 0, among those that are not the try's own."""
    if len(own) == 0:
        return first + number
    pool = first
    while True:
        if not _has(own, pool):
            if number == 0:
                return pool
            number -= 1
        pool += 1


@compiled
def _has(own: Ints, pool: int) -> bool:
    for each in own:  # noqa: SIM110, machine code
        if each == pool:
            return True
    return False


@compiled
def _draw(s: State, source: int) -> float:
    drawn = s.drawn[source]
    s.drawn[source] = drawn + 1
    if drawn + s.room >= s.draws.shape[1]:
        s.counters[DRY] = 1
    return float(s.draws[source, drawn])


@compiled
def _push(s: State, time: float, kind: int, what: int) -> None:
    event, hole = kind * _KIND + what, s.counters[EVENTS]
    s.counters[EVENTS] += 1
    while hole > 0:
        parent = (hole - 1) >> 1
        if not _is_before(time, event, s.times[parent], s.events[parent]):
            break
        s.times[hole], s.events[hole] = s.times[parent], s.events[parent]
        hole = parent
    s.times[hole], s.events[hole] = time, event


@compiled
def _pop(s: State) -> None:
    s.counters[EVENTS] -= 1
    size, hole, child = s.counters[EVENTS], 0, 1
    time, event = s.times[size], s.events[size]
    while child < size:
        if child + 1 < size and _is_before(s.times[child + 1], s.events[child + 1], s.times[child], s.events[child]):
            child += 1
        if _is_before(time, event, s.times[child], s.events[child]):
            break
        s.times[hole], s.events[hole] = s.times[child], s.events[child]
        hole, child = child, 2 * child + 1
    s.times[hole], s.events[hole] = time, event


@compiled
def _is_before(time: float, event: int, other_time: float, other_event: int) -> bool:
    return time < other_time or (time == other_time and event < other_event)

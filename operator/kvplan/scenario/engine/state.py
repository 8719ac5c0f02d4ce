"""What the engine works on: the record of each thing, and what numbers mean.

A slot's `turn` counts its owners: who remembers a slot with its turn can tell whether it still means the same. A
request's turn also grows with each attempt, so a late answer, or the timer of an attempt that is over, means nothing.
"""

from enum import IntEnum

import numpy as np

NOBODY = -1  # no slot
NEVER = 1e300  # s; also stands for a bound that there is not
NOT_CACHED = -2  # in a copy's `older`

REQUEST = np.dtype(
    [
        ("born", "f8"),
        ("turn", "i4"),
        ("key", "i4"),
        ("job", "i4"),
        ("job_turn", "i4"),
        ("home", "i4"),
        ("tries_left", "i4"),
        ("write", "i4"),
        ("link", "i4"),
    ],
    align=True,
)
JOB = np.dtype(  # one attempt of a request, at a pod
    [
        ("deadline", "f8"),  # after it nobody waits for the answer
        ("network", "f8"),
        ("turn", "i4"),
        ("request", "i4"),
        ("request_turn", "i4"),
        ("key", "i4"),
        ("pod", "i4"),
        ("epoch", "i4"),
        ("region", "i4"),
        ("stage", "i4"),
        ("old_copy", "i4"),  # the cache has answered with one that is not too old for an emergency
        ("link", "i4"),  # to the next in a pod's queue, or in the free list
    ],
    align=True,
)
WORK = np.dtype(  # one operation of the store, for one job or for all that wait for that key
    [
        ("asked", "f8"),
        ("turn", "i4"),
        ("key", "i4"),
        ("region", "i4"),
        ("write", "i4"),
        ("first", "i4"),  # of the nodes of the jobs that wait
        ("link", "i4"),
    ],
    align=True,
)
NODE = np.dtype([("item", "i4"), ("turn", "i4"), ("link", "i4")], align=True)
POD = np.dtype(
    [
        ("debt", "f8"),  # work of refusals, done with the next service
        ("head", "i4"),
        ("tail", "i4"),
        ("waiting", "i4"),
        ("serving", "i4"),
        ("in_flight", "i4"),
        ("epoch", "i4"),  # grows when the pod is lost: what it had in memory is gone
        ("lost", "i4"),
        ("listed", "i4"),  # the gateway sends to it
    ],
    align=True,
)
REGION = np.dtype(
    [
        ("share", "f8"),
        ("ttl", "f8"),
        ("cache_slow", "f8"),
        ("store_slow", "f8"),
        ("hot_share", "f8"),
        ("farther", "f8"),  # s that its clients' way takes longer
        ("tokens", "f8"),  # of the retry budget of its clients
        ("tokens_most", "f8"),
        ("busy_area", "f8"),  # of the store's servers, since the last full second
        ("busy_since", "f8"),
        ("breaker_until", "f8"),
        ("next_arrival", "f8"),
        ("first_pod", "i4"),
        ("pods", "i4"),
        ("next_pod", "i4"),  # of round robin
        ("first_shard", "i4"),
        ("shards", "i4"),
        ("entries_most", "i4"),
        ("entries", "i4"),
        ("newest", "i4"),  # of the cache's keys by use
        ("oldest", "i4"),
        ("servers", "i4"),
        ("busy", "i4"),
        ("head", "i4"),
        ("tail", "i4"),
        ("waiting", "i4"),
        ("breaker_failures", "i4"),
        ("away", "i4"),  # its clients go to other regions
    ],
    align=True,
)
COPY = np.dtype(  # what a region's cache has of a key
    [
        ("fresh_until", "f8"),
        ("older", "i4"),  # the next key by last use, or NOT_CACHED
        ("newer", "i4"),
        ("filling", "i4"),  # the work that fetches it, if coalescing
    ],
    align=True,
)
MOMENT = np.dtype([("at", "f8"), ("what", "i8")], align=True)  # of the heap: event, slot and turn in one number
TIMER = np.dtype([("at", "f8"), ("request", "i4"), ("turn", "i4")], align=True)
COLUMN = np.dtype([("own", "f4"), ("other", "i4")], align=True)  # of an alias table
ACTION = np.dtype([("at", "f8"), ("value", "f8"), ("action", "i4"), ("region", "i4")], align=True)
SHARD = np.dtype([("free_at", "f8"), ("breaker_until", "f8"), ("breaker_failures", "i4")], align=True)
RULES = np.dtype(  # one record: the clients, and the protections (numbers are `NEVER`, or beyond reach, where off)
    [
        ("seed", "i8"),
        ("warm_up", "f8"),
        ("timeout", "f8"),
        ("backoff", "f8"),
        ("reads", "f8"),
        ("refuse", "f8"),  # s of a pod for a refusal
        ("cache_hop", "f8"),
        ("budget", "f8"),  # retries a request; NEVER: no budget
        ("stale_for", "f8"),  # 0: off
        ("stale_after", "f8"),
        ("hedge_after", "f8"),
        ("breaker_store", "f8"),  # slower than that is a failure
        ("breaker_cache", "f8"),
        ("breaker_pause", "f8"),
        ("jitter", "f8"),
        ("near_ttl", "f8"),
        ("near_keys", "i4"),
        ("retries", "i4"),
        ("storm_retries", "i4"),  # NOBODY: no storm
        ("coalescing", "i4"),
        ("pod_most", "i4"),
        ("store_most", "i4"),
        ("deadline", "i4"),
        ("breaker_row", "i4"),
        ("balancing", "i4"),
    ],
    align=True,
)


class Law(IntEnum):
    """Rows of `laws[region]`: (shape, first, second parameter)."""

    HALF_READ = 0  # of a pod's work for a read: before the cache, and after it
    MISS = 1  # what a miss costs beyond a read
    FIRST_WRITE = 2
    REST_WRITE = 3
    CACHE = 4
    STORE_READ = 5
    STORE_WRITE = 6
    NETWORK = 7  # from the region's clients to its edge and back


class Stage(IntEnum):
    """What a job does."""

    NEAR = 0  # at its pod: answered from the pod's own memory
    READ = 1  # at its pod, before the cache
    CACHE = 2
    HIT = 3  # at its pod, with what the cache had
    MISS = 4  # at its pod, before the store
    STORE = 5  # waits for the store
    FILLED = 6  # at its pod, with what the store had
    WRITE = 7  # at its pod, before the store
    WRITTEN = 8  # at its pod, after the store
    LOST = 9  # its pod is gone, and the client does not know


class Event(IntEnum):
    """In the heap, with the slot and turn that it is about. A store's has its region added."""

    ATTEMPT = 0
    POD = 1
    CACHE = 2
    STALE = 3
    HEDGE = 4
    STORE = 5


class Count(IntEnum):
    """Columns of `seconds[region, second]`. The first four are of the requests that arrived in that second, by
    their clients' region; the others of what happened in it, by the region where it did."""

    ARRIVED = 0
    ANSWERED = 1
    FAILED = 2
    SHED = 3
    ATTEMPTS = 4
    HITS = 5
    LOOKUPS = 6
    POD_BUSY = 7  # s of work begun
    CACHE_BUSY = 8
    STORE_BUSY = 9  # share of its servers
    POD_QUEUE = 10  # waiting at the end of the second, all pods
    STORE_QUEUE = 11
    STALE = 12
    HEDGES = 13
    PODS = 14  # there at the end of the second


class Tally(IntEnum):
    """Of `tally`: what became of all attempts, warm-up included; and the slots in use."""

    ATTEMPTS = 0
    ANSWERED = 1
    LATE = 2  # answered, to nobody
    REFUSED = 3
    DROPPED = 4  # by `deadline`: not begun
    LOST = 5
    REQUESTS = 6
    CLOSED = 7
    EVENTS = 8
    HEAP = 9
    TIMER_FIRST = 10
    TIMER_END = 11
    FREE_REQUEST = 12  # heads of the free lists, and how many slots were ever used
    FREE_JOB = 13
    FREE_WORK = 14
    FREE_NODE = 15
    USED_REQUESTS = 16
    USED_JOBS = 17
    USED_WORKS = 18
    USED_NODES = 19
    FULL = 20  # 1: no slot left, the run is void


class Action(IntEnum):
    """What an event of the scenario does to the world, at a moment; `value` in brackets."""

    CACHE_SLOW = 0  # factor
    STORE_SLOW = 1  # factor
    HOT = 2  # share
    FLUSH = 3  # share of the entries
    SERVERS = 4  # the store has so many
    LOSE_PODS = 5  # the first so many
    UNLIST_PODS = 6  # the gateway has noticed
    RESTORE_PODS = 7
    AWAY = 8  # 1: the region's clients go elsewhere
    STORM = 9  # retries; NOBODY: over
    FARTHER = 10  # s that the way to the region's clients takes longer


CONSTANT, LOGNORMAL, GAMMA = 0.0, 1.0, 2.0  # shapes of `laws`
BUCKETS = 700
SHORTEST = 1e-4  # s: upper edge of the first bucket
STEP = 0.02  # of the logarithm
SLOT = 0.05  # s of `rates`

"""A region's cache: its keys by last use, each with the time until which its copy is fresh. Exact LRU.

An entry that is no longer fresh stays until it is refilled or pushed out: `stale_for` lives on it.
"""

import numpy as np

from kvplan.scenario.engine.state import NOBODY, NOT_CACHED, World, compiled


@compiled
def _unlink(w: World, region: int, key: int) -> None:
    older, newer = w.older[region, key], w.newer[region, key]
    if newer == NOBODY:
        w.regions[region].newest = older
    else:
        w.older[region, newer] = older
    if older == NOBODY:
        w.regions[region].oldest = newer
    else:
        w.newer[region, older] = newer


@compiled
def _link_first(w: World, region: int, key: int) -> None:
    first = w.regions[region].newest
    w.older[region, key] = first
    w.newer[region, key] = NOBODY
    if first == NOBODY:
        w.regions[region].oldest = key
    else:
        w.newer[region, first] = key
    w.regions[region].newest = key


@compiled
def remove(w: World, region: int, key: int) -> None:
    _unlink(w, region, key)
    w.older[region, key] = NOT_CACHED
    w.regions[region].entries -= 1


@compiled
def is_fresh(w: World, region: int, key: int, now: float) -> bool:
    """A look-up, which is a use."""
    if w.older[region, key] == NOT_CACHED:
        return False
    _unlink(w, region, key)
    _link_first(w, region, key)
    return bool(w.until[region, key] > now)


@compiled
def has_stale(w: World, region: int, key: int, now: float) -> bool:
    return bool(w.older[region, key] != NOT_CACHED and w.until[region, key] + w.rules[0].stale_for > now)


@compiled
def put(w: World, region: int, key: int, now: float) -> None:
    """What was filled together does not get stale together, with jitter."""
    own = w.regions[region]
    if own.entries_most == 0:
        return
    if w.older[region, key] != NOT_CACHED:
        _unlink(w, region, key)
    else:
        if own.entries == own.entries_most:
            remove(w, region, own.oldest)
        own.entries += 1
    _link_first(w, region, key)
    w.until[region, key] = now + own.ttl * (1 - w.rules[0].jitter * w.random.random())


@compiled
def flush(w: World, region: int, share: float) -> None:
    for key in range(w.older.shape[1]):
        if w.older[region, key] != NOT_CACHED and w.random.random() < share:
            remove(w, region, key)


@compiled
def shard_of(w: World, region: int, key: int) -> int:
    own = w.regions[region]
    return int(own.first_shard + ((np.int64(key) * 2654435761) >> 12) % own.shards)

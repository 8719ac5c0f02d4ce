"""A region's cache: its keys by last use, each with the time until which its copy is fresh. Exact LRU.

An entry that is no longer fresh stays until it is refilled or pushed out: `stale_for` lives on it.
"""

import numpy as np

from kvplan.scenario.engine.arrays import Addresses, compiled, copies_of, regions_of, rules_of
from kvplan.scenario.engine.state import NOBODY, NOT_CACHED


@compiled
def _unlink(w: Addresses, region: int, key: int) -> None:
    own, copies = regions_of(w)[region], copies_of(w)[region]
    older, newer = copies[key].older, copies[key].newer
    if newer == NOBODY:
        own.newest = older
    else:
        copies[newer].older = older
    if older == NOBODY:
        own.oldest = newer
    else:
        copies[older].newer = newer


@compiled
def _link_first(w: Addresses, region: int, key: int) -> None:
    own, copies = regions_of(w)[region], copies_of(w)[region]
    copies[key].older = own.newest
    copies[key].newer = NOBODY
    if own.newest == NOBODY:
        own.oldest = key
    else:
        copies[own.newest].newer = key
    own.newest = key


@compiled
def _remove(w: Addresses, region: int, key: int) -> None:
    _unlink(w, region, key)
    copies_of(w)[region, key].older = NOT_CACHED
    regions_of(w)[region].entries -= 1


@compiled
def is_fresh(w: Addresses, region: int, key: int, now: float) -> bool:
    """A look-up, which is a use."""
    copy = copies_of(w)[region, key]
    if copy.older == NOT_CACHED:
        return False
    _unlink(w, region, key)
    _link_first(w, region, key)
    return bool(copy.fresh_until > now)


@compiled
def has_old(w: Addresses, region: int, key: int, now: float) -> bool:
    copy = copies_of(w)[region, key]
    return bool(copy.older != NOT_CACHED and copy.fresh_until + rules_of(w).stale_for > now)


@compiled
def put(w: Addresses, region: int, key: int, now: float) -> None:
    """What was filled together does not get stale together, with jitter."""
    own, copy = regions_of(w)[region], copies_of(w)[region, key]
    if own.entries_most == 0:
        return
    if copy.older != NOT_CACHED:
        _unlink(w, region, key)
    else:
        if own.entries == own.entries_most:
            _remove(w, region, own.oldest)
        own.entries += 1
    _link_first(w, region, key)
    copy.fresh_until = now + own.ttl * (1 - rules_of(w).jitter * np.random.random())


@compiled
def flush(w: Addresses, region: int, share: float) -> None:
    copies = copies_of(w)[region]
    for key in range(copies.size):
        if copies[key].older != NOT_CACHED and np.random.random() < share:
            _remove(w, region, key)


@compiled
def shard_of(w: Addresses, region: int, key: int) -> int:
    own = regions_of(w)[region]
    return int(own.first_shard + ((np.int64(key) * 2654435761) >> 12) % own.shards)

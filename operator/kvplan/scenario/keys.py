"""Which keys are asked for, and which of them a cache has when it has run for long."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import brentq

from kvplan.laws import Floats

_EXACT = 10_000  # ranks that are summed one by one; beyond them the sum is an integral


def popularity(records: int, skew: float, scale: int = 1) -> Floats:
    """The shares of the keys by rank, of Zipf's law with exponent `skew`; shape (records / scale,), rounded up.

    With a scale, each key stands for `scale` neighbours in rank and is asked for as often as one of them: at 1/scale
    of the rate the rate per key, and with it the hit rate, stays (the idea of spatial sampling: Waldspurger et al.
    2015, FAST, "Efficient MRC construction with SHARDS").
    """
    edges = np.minimum(np.arange(-(-records // scale) + 1) * scale, records)
    shares = np.diff(_summed(edges, skew))
    return np.asarray(shares / shares.sum())


def _summed(ranks: NDArray[np.int64], skew: float) -> Floats:
    """Of rank^-skew from 1 to each of `ranks`; beyond _EXACT by the midpoint rule, wrong by less than 1e-9 of it."""
    head = np.concatenate([[0.0], np.cumsum(np.arange(1.0, _EXACT + 1) ** -skew)])
    beyond = np.maximum(ranks, _EXACT) + 0.5
    tail = (
        np.log(beyond / (_EXACT + 0.5))
        if skew == 1
        else (beyond ** (1 - skew) - (_EXACT + 0.5) ** (1 - skew)) / (1 - skew)
    )
    return head[np.minimum(ranks, _EXACT)] + tail


@njit(cache=True)  # type: ignore[untyped-decorator]
def alias(shares: Floats) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Tables to draw from `shares` with one look (Vose 1991): column i yields i for own[i] of it, else other[i]."""
    size = shares.size
    left = shares * size
    own, other = np.ones(size, np.float32), np.arange(size).astype(np.int32)
    poor, rich = np.empty(size, np.int64), np.empty(size, np.int64)
    poors = riches = 0
    for index in range(size):
        if left[index] < 1:
            poor[poors] = index
            poors += 1
        else:
            rich[riches] = index
            riches += 1
    while poors and riches:
        poors -= 1
        giver = rich[riches - 1]
        taker = poor[poors]
        own[taker], other[taker] = left[taker], giver
        left[giver] -= 1 - left[taker]
        if left[giver] < 1:
            riches -= 1
            poor[poors] = giver
            poors += 1
    return own, other


def warm(rates: Floats, entries: int, ttl: float, random: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
    """The keys that an LRU cache of so many entries with a TTL (s) has in the long run, last used first, and how long
    each is fresh. `rates`: requests/s of each key.

    A key is there if it was used within the cache's characteristic time (Che, Tung, Wang 2002) and filled within its
    TTL; which of the two binds is taken for each key alone. What that leaves out, the warm-up mends.
    """
    by_ttl = rates * ttl / (1 + rates * ttl)

    def there(time: float) -> Floats:
        return np.minimum(by_ttl, -np.expm1(-rates * time))

    if not entries:
        return np.empty(0, np.int64), np.empty(0)
    time = ttl
    if there(ttl).sum() > entries:
        time = brentq(lambda each: there(each).sum() - entries, 0.0, ttl)
    keys = np.flatnonzero(random.random(rates.size) < there(time))
    # time since the last use: exponential, cut off at `time`
    ages = -np.log1p(random.random(keys.size) * np.expm1(-rates[keys] * time)) / rates[keys]
    keys = keys[np.argsort(ages)][:entries]
    return keys, random.random(keys.size) * ttl

"""A cache played read by read: what Che's approximation of its hit rate is held against."""

import numpy as np
from numpy.typing import NDArray

from kvplan.errors import InputError
from kvplan.laws import Floats
from kvplan.simulate.compiled import compiled


def lru(*, keys: int, skew: float, entries: int, requests: int, rate: float, ttl: float, seed: int) -> float:
    """Hit rate of the last half of the requests, of a cache that was empty before the first.

    Reads are a Poisson process of `rate` (1/s); key number i, from 1, is read in proportion to i ** -skew. An entry is
    fresh for `ttl` seconds from its filling, however often it is read; one that is not fresh stays until a read, which
    is a miss, fills it again, or until it is evicted as the least recently read of more than `entries`.
    """
    for what, value in (("keys", keys), ("entries", entries), ("requests", requests), ("rate", rate), ("ttl", ttl)):
        if not value > 0:
            raise InputError(f"{what} is {value:g}; expected a number above 0")
    random = np.random.default_rng(seed)
    upto = np.cumsum(np.arange(1, keys + 1) ** -float(skew))
    read = np.searchsorted(upto, random.random(requests) * upto[-1], side="right")
    times = np.cumsum(random.exponential(1 / rate, requests))
    return float(_hits(read, times, keys, entries, float(ttl))[requests // 2 :].mean())


@compiled
def _hits(read: NDArray[np.int64], times: Floats, keys: int, entries: int, ttl: float) -> NDArray[np.bool_]:
    """Which reads are hits. The entries are a ring, closed by number `keys`: there, `older` is the newest entry and
    `newer` the oldest. Those of a key without an entry are -1."""
    hits, filled, free = np.zeros(len(read), dtype=np.bool_), np.zeros(keys), entries
    older, newer = np.full(keys + 1, -1), np.full(keys + 1, -1)
    older[keys] = newer[keys] = keys
    for number in range(len(read)):
        key = read[number]
        if older[key] >= 0:
            hits[number] = times[number] < filled[key] + ttl
            newer[older[key]], older[newer[key]] = newer[key], older[key]
        elif free > 0:
            free -= 1
        else:
            oldest = newer[keys]
            newer[keys], older[newer[oldest]] = newer[oldest], keys
            older[oldest] = -1
        if not hits[number]:
            filled[key] = times[number]
        older[key], newer[key] = older[keys], keys
        newer[older[keys]] = key
        older[keys] = key
    return hits

"""How often a cache hits: Che's approximation of LRU under Zipf's law of popularity, with a time to live.

The cache is the service's: a hit does not renew an entry, which is fresh for `ttl` from its filling; one that is no
longer fresh stays in memory (for answers while the store fails) until LRU evicts it or a read fills it again. So which
entries are in memory depends on LRU alone, and the time to live only on which of them are hits.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize

from kvplan.laws import Floats
from kvplan.plan.inputs import Workload, mid

ENTRY_OVERHEAD = 150.0
"""Bytes of an entry beside id and value: 78 in the server (hash tables of names and expiries, headers; of Valkey 9,
`bench/planner.py` measures it), 59 in envelope and trailer, 13 in the name's prefix and namespace."""

CACHE_USABLE = 7 / 8  # of a shard's memory; the rest is the feed of changes, as the operator sets it

_EXACT = 32  # ranks that are a class of their own
_CLASSES = 128  # of the others; rates within one differ by a sixth at most, with 200 million records


@dataclass(frozen=True, eq=False)
class Popularity:
    """Records in classes of about the same popularity: `share` of all reads that each record of a class gets, and how
    many records it has."""

    share: Floats
    records: Floats

    def distinct(self, reads: float) -> float:
        """How many different records `reads` reads ask for."""
        return float(self.records @ -np.expm1(-self.share * reads))


@lru_cache(maxsize=4096)
def zipf(records: float, skew: float) -> Popularity:
    """The record of rank i is read in proportion to i ** -skew. Sums over many ranks are integrals from half a rank
    before to half a rank after (the midpoint rule)."""
    count = max(round(records), 1)
    if count <= _EXACT + _CLASSES:
        weight, size = np.arange(1, count + 1) ** -skew, np.ones(count)
    else:
        head = np.arange(1, _EXACT + 1)
        edges = np.geomspace(_EXACT + 0.5, count + 0.5, _CLASSES + 1)
        size = np.concatenate([np.ones(_EXACT), np.diff(edges)])
        weight = np.concatenate([head**-skew, _integral(edges, skew) / np.diff(edges)])
    return Popularity(weight / (weight @ size), size)


def hit_rate(popularity: Popularity, *, entries: float, rate: float, ttl: float = math.inf) -> float:
    """Share of `rate` reads/s that hit a cache of `entries` entries.

    An entry is evicted when it was not read for T seconds, where T is such that the entries fill the cache: the
    characteristic time of H. Che, Y. Tung, Z. Wang, "Hierarchical Web Caching Systems" (2002). A record that is read
    with rate r is a hit r P / (1 + r P) of the time, if P is how long an entry serves from its filling: until r leaves
    a gap of T, or for `ttl`. The time until the first gap of T in a Poisson process is T, or longer with the chance
    1 - e^-rT; what is beyond is taken as exponential, so that the whole has its true mean (e^rT - 1) / r. Both ends are
    exact: 1 - e^-rT without a time to live, r ttl / (1 + r ttl) without eviction.
    """
    if rate <= 0 or entries <= 0:
        return 0.0
    rates = popularity.share * rate
    gap = _characteristic_time(popularity, rates, entries)
    served = rates * _serving_time(rates, gap, ttl)
    hits = np.where(np.isinf(served), 1.0, served / (1 + np.where(np.isinf(served), 0.0, served)))
    return float((popularity.share * popularity.records) @ hits)


def entry_bytes(workload: Workload) -> float:
    return mid(workload.value_bytes) + workload.id_bytes + ENTRY_OVERHEAD


def entries_of(memory: float, workload: Workload) -> float:
    """How many entries `memory` bytes of shards hold."""
    return memory * CACHE_USABLE / entry_bytes(workload)


def _integral(edges: Floats, skew: float) -> Floats:
    """Of x ** -skew, between each edge and the next."""
    if abs(skew - 1) < 1e-9:
        return np.diff(np.log(edges))
    return np.diff(edges ** (1 - skew)) / (1 - skew)


def _characteristic_time(popularity: Popularity, rates: Floats, entries: float) -> float:
    """T in seconds; infinite if all records fit."""
    if entries >= popularity.records.sum() * (1 - 1e-9):
        return math.inf

    def excess(log_time: float) -> float:
        return float(popularity.records @ -np.expm1(-rates * math.exp(log_time))) - entries

    # Between each read filling an entry of its own, and the rarest class being in memory 50 times over.
    low, high = math.log(entries / (popularity.records @ rates)), math.log(50 / rates.min())
    return math.exp(optimize.brentq(excess, low - 1e-9, high, xtol=1e-4))


def _serving_time(rates: Floats, gap: float, ttl: float) -> Floats:
    """P of `hit_rate`, for each rate."""
    if ttl <= gap:
        return np.full_like(rates, ttl)
    reads = np.minimum(rates * gap, 500.0)  # e^500 is for ever
    mean = np.expm1(reads) / rates
    if math.isinf(ttl):
        return mean
    again = -np.expm1(-reads)  # chance of a read before the first gap of T
    beyond = np.maximum(mean - gap, 1e-30) / again
    return gap + again * beyond * -np.expm1(-(ttl - gap) / beyond)

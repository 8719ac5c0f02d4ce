"""How many requests a pool holds at its server, where a request gets its pool by how many are in flight there.

A pool with n in flight is a closed network: n requests go round between its server and the places where they wait for
others. With exponential services its law is a product (Gordon, Newell 1967), and for those who choose pools it is one
server whose rate depends on n (Chandy, Herzog, Woo 1975, "Parametric analysis of queuing networks").
"""

import math

import numpy as np
from scipy import special

from kvplan.laws import Floats
from kvplan.system import Balancing

_MOST = 400  # in flight at a pool; what lies above is left out
_MOST_AWAY = 150.0  # mean number elsewhere; from here on more changes nothing
_FAINTEST = 1e-250


def found(*, balancing: Balancing, pools: int, load: float, visits: float, away: float) -> Floats:
    """P(k at the server, itself not counted), k = 0, 1, …, for a visit that comes to its pool, averaged over first and
    later visits. `visits` are those of a request, `away` is the mean time of a request elsewhere between them; times
    are in mean services of a visit."""
    rate = load / visits  # requests per mean service, at each pool
    away = min(away, _MOST_AWAY / rate)
    there = rate * away
    most = int(min(_MOST, there + 6 * math.sqrt(there) + 40 + 12 / (pools * (1 - load))))
    at_server = _closed(away / visits, most)
    ends = (1 - at_server[:, 0]) / visits  # requests that end, by how many are in flight
    chosen, held = (_two if balancing is Balancing.POWER_OF_TWO else _least)(rate, ends, pools)
    begun = held * (1 - at_server[:, 0])
    return np.asarray(
        (chosen @ at_server + (visits - 1) * np.append(begun[1:] / begun.sum(), 0.0) @ at_server) / visits
    )


def _closed(away: float, most: int) -> Floats:
    """[n, k] P(k at the server) with n in flight, each `away` mean services between two visits: as away^(n-k)/(n-k)!"""
    held, served = np.arange(most + 1)[:, None], np.arange(most + 1)[None, :]
    gone = np.maximum(held - served, 0)
    logs = np.where(served <= held, gone * math.log(max(away, 1e-9)) - special.gammaln(gone + 1), -np.inf)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _two(rate: float, ends: Floats, _: int) -> tuple[Floats, Floats]:
    """P(n in flight) at the pool that is chosen, and at any: with s(n) the share of pools that hold n or more,
    rate (s(n)^2 - s(n+1)^2) = ends(n+1) (s(n+1) - s(n+2)), as in Mitzenmacher 2001, "The power of two choices", for
    many pools. From the top down: the top's share is found such that s(0) = 1."""
    ratios = (ends / rate).tolist()
    while (shares := _down(ratios, _FAINTEST))[0] > 1:
        ratios.pop()
    low, high = math.log(_FAINTEST), 0.0
    while abs(shares[0] - 1) > 1e-6 and high - low > 1e-9:
        middle = (low + high) / 2
        shares = _down(ratios, math.exp(middle))
        low, high = (low, middle) if shares[0] > 1 else (middle, high)
    at_least = np.zeros(ends.size + 1)
    at_least[: len(shares)] = shares
    return -np.diff(at_least**2), -np.diff(at_least)


def _down(ratios: list[float], top: float) -> list[float]:
    shares, above, here = [top], 0.0, top
    for ratio in ratios[:0:-1]:
        above, here = here, math.sqrt(here * here + ratio * (here - above))
        shares.append(here)
    return shares[::-1]


def _least(rate: float, ends: Floats, pools: int) -> tuple[Floats, Floats]:
    """The same where the least in flight is chosen, as if all pools always held equally many, or one more: then the
    number in all of them is a birth and death process."""
    total = np.arange(pools * (ends.size - 2))
    level, above = total // pools, total % pools
    deaths = (pools - above) * ends[level] + above * ends[level + 1]
    logs = np.concatenate([[0.0], np.cumsum(math.log(rate * pools) - np.log(deaths[1:]))])
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    chosen = np.bincount(level, shares, ends.size)
    held = np.bincount(level, shares * (pools - above) / pools, ends.size)
    held += np.bincount(level + 1, shares * above / pools, ends.size)
    return np.asarray(chosen, dtype=float), np.asarray(held, dtype=float)

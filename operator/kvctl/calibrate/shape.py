"""How uneven measured times are, from the buckets of a histogram whose mean is known exactly. Pure.

A lognormal law with that mean; its CV is the one that makes the counts of the buckets likeliest, and those whose
log-likelihood is less by at most 1.92 are as good as it (the 95 % interval of a likelihood ratio; Wilks, 1938).
"""

import math
from dataclasses import dataclass

import numpy as np

from kvctl.calibrate.counts import Times
from kvplan.laws import Floats, LogNormal

_TRIED = np.geomspace(0.02, 5, 400)
_AS_GOOD = 1.92
_WIDE = 1.0  # an interval of CVs wider than its best by more than this part tells nothing
_LEAST = 30  # times


@dataclass(frozen=True)
class Spread:
    low: float
    cv: float
    high: float


def spread(times: Times) -> Spread | None:
    """None if the buckets do not tell: nearly all times lie in one, or there are too few."""
    if times.count < _LEAST or not times.sum_s > 0:
        return None
    edges = np.array(sorted(edge for edge in times.below if math.isfinite(edge)))
    below = np.append([times.below[edge] for edge in edges], times.count)
    counts = np.maximum(np.diff(below, prepend=0.0), 0.0)
    likelihoods = np.array([_likelihood(times.mean_s, float(cv), edges, counts) for cv in _TRIED])
    good = _TRIED[likelihoods >= likelihoods.max() - _AS_GOOD]
    best = float(_TRIED[likelihoods.argmax()])
    found = Spread(float(good[0]), best, float(good[-1]))
    is_told = found.low > _TRIED[0] and found.high < _TRIED[-1] and found.high - found.low <= _WIDE * best
    return found if is_told else None


def _likelihood(mean: float, cv: float, edges: Floats, counts: Floats) -> float:
    shares = np.diff(LogNormal(mean, cv).cdf(edges), prepend=0.0, append=1.0)
    return float(counts @ np.log(np.maximum(shares, 1e-12)))

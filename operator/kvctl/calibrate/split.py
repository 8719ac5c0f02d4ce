"""What a request of each kind costs, from intervals in which there were more of one kind and fewer of another. Pure.

Linear least squares with coefficients not below 0 (Lawson and Hanson, 1974), of seconds of CPU on numbers of requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from kvctl.calibrate.counts import Counts

KINDS = ("hits", "misses", "writes")
_FEW = 0.01  # of all requests: less of a kind tells nothing of it
_SURE = 0.5  # the middle 90 % of a cost reach at most this part of it to each side, else the kinds are not told apart
_SIDE = 1.645  # standard errors that hold 90 %


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU a request; `low` and `high`: the middle 90 %."""

    low: float
    mid: float
    high: float


def kinds_of(intervals: Sequence[Counts]) -> tuple[str, ...]:
    """Those that there were enough of."""
    totals = {kind: sum(getattr(each, kind) for each in intervals) for kind in KINDS}
    return tuple(kind for kind in KINDS if totals[kind] > _FEW * sum(totals.values()))


def costs(intervals: Sequence[Counts], kinds: Sequence[str]) -> dict[str, Cost] | None:
    """By kind; None if they cannot be told apart: too few intervals, or all with the same mixture."""
    numbers = np.array([[getattr(each, kind) for kind in kinds] for each in intervals], dtype=float)
    seconds = np.array([each.cpu_s for each in intervals])
    spare = len(intervals) - len(kinds)
    if spare < 1 or np.linalg.matrix_rank(numbers) < len(kinds):
        return None
    found, residual = nnls(numbers, seconds)
    errors = np.sqrt(np.diag(np.linalg.inv(numbers.T @ numbers)) * residual**2 / spare) * _SIDE
    if np.any(errors > _SURE * found):
        return None
    return {
        kind: Cost(float(cost - error), float(cost), float(cost + error))
        for kind, cost, error in zip(kinds, found, errors, strict=True)
    }

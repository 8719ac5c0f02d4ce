"""The pod's event loop, played: what the model does not know of it, so that a difference can be explained.

uvloop takes all that is ready, runs it one after the other, and only then writes what they had to say (uvloop 0.23,
`Loop._on_idle`: `_exec_queued_writes` comes after the last one of the turn). So a request's step is over at the end of
its turn, not at its own end: it waits for those behind it, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kvplan.laws import Floats, Law


@dataclass(frozen=True)
class Step:
    """Work of the loop, and the time `after` it until the request is ready for its next step."""

    law: Law
    after: float = 0.0


def latencies(steps: Sequence[Step], *, rate: float, requests: int, seed: int, in_turns: bool) -> Floats:
    """Of `requests` Poisson arrivals at `rate` (1/s), in order of arrival, without the first tenth. Without `in_turns`
    each step's outcome leaves at its own end, as the model has it."""
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(random.exponential(1 / rate, requests))
    works = np.stack([step.law.draw(random, requests) for step in steps])
    ends: Floats = _played(arrivals, works, np.array([step.after for step in steps]), in_turns)
    return (ends - arrivals)[requests // 10 :]


def _first(comes: Floats, taken: NDArray[np.int64], come: NDArray[np.int64]) -> int:
    """The step that somebody has come to first of all who wait; -1: nobody waits or comes."""
    found = -1
    for step in range(len(taken)):
        if taken[step] < come[step] and (found < 0 or comes[step, taken[step]] < comes[found, taken[found]]):
            found = step
    return found


def _ends(arrivals: Floats, works: Floats, afters: Floats, in_turns: bool) -> Floats:
    """When each request's last step has left. Each step has a queue, in order of time: from `taken` to `come`."""
    steps, requests = works.shape
    comes, who = np.empty((steps, requests)), np.empty((steps, requests), np.int64)
    comes[0], who[0] = arrivals, np.arange(requests)
    taken, come = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    come[0] = requests
    turn, its_step, its_end = np.empty(requests, np.int64), np.empty(requests, np.int64), np.empty(requests)
    ends, left, now = np.empty(requests), requests, 0.0
    while left:
        size = 0
        while size == 0 or in_turns:
            step = _earliest(comes, taken, come)
            if step < 0 or (size and comes[step, taken[step]] > now):
                break
            now = max(now, comes[step, taken[step]])
            turn[size], its_step[size] = who[step, taken[step]], step
            taken[step] += 1
            size += 1
        for place in range(size):
            now += works[its_step[place], turn[place]]
            its_end[place] = now
        for place in range(size):
            step, leaves = its_step[place] + 1, now if in_turns else its_end[place]
            if step == steps:
                ends[turn[place]] = leaves
                left -= 1
            else:
                comes[step, come[step]], who[step, come[step]] = leaves + afters[step - 1], turn[place]
                come[step] += 1
    return ends


_earliest = njit(_first)
_played = njit(_ends)

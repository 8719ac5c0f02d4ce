"""The pod's event loop, played: what the model does not know of it, so that a difference can be explained.

uvloop takes all that is ready, runs it one after the other, and only then writes what they had to say (uvloop 0.23,
`Loop._on_idle`: `_exec_queued_writes` comes after the last one of the turn). So a request's step is over at the end of
its turn, not at its own end: it waits for those behind it, too. And a loop that has slept is slower at first: caches
are cold, and the kernel has to wake it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kvplan.laws import Floats, Law


@dataclass(frozen=True)
class Step:
    """Work of the loop, and the time `after` it until the request is ready for its next step."""

    law: Law
    after: float = 0.0


def latencies(steps: Sequence[Step], *, rate: float, wake: float, requests: int, seed: int, in_turns: bool) -> Floats:
    """Of `requests` Poisson arrivals at `rate` (1/s), in order of their ends. `wake` (s): what a sleep costs. Without
    `in_turns` each step's outcome leaves at its own end, as the model has it."""
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(random.exponential(1 / rate, requests)).tolist()
    work = [step.law.draw(random, requests).tolist() for step in steps]
    coming = deque((at, number, 0) for number, at in enumerate(arrivals))
    returning = [deque[tuple[float, int, int]]() for _ in steps]  # by the step that comes next; each in order of time
    queues = [coming, *returning[1:]]
    found, now = list[float](), 0.0
    while len(found) < requests:
        first = min(queue[0][0] for queue in queues if queue)
        if first > now:
            now = first + wake
        turn = _ready(queues, now, None if in_turns else 1)
        ends = []
        for _, number, step in turn:
            now += work[step][number]
            ends.append(now)
        for end, (_, number, step) in zip(ends, turn, strict=True):
            leaves = now if in_turns else end
            if step + 1 < len(steps):
                returning[step + 1].append((leaves + steps[step].after, number, step + 1))
            else:
                found.append(leaves - arrivals[number])
    return np.array(found)


def _ready(
    queues: Sequence[deque[tuple[float, int, int]]], now: float, most: int | None
) -> list[tuple[float, int, int]]:
    turn = list[tuple[float, int, int]]()
    while (most is None or len(turn) < most) and (some := [queue for queue in queues if queue and queue[0][0] <= now]):
        turn.append(min(some, key=lambda queue: queue[0]).popleft())
    return turn

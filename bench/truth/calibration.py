"""What the model is told, measured beforehand: what a read costs the pod's event loop, in which visits, and what of a
client's latency is neither. No latency under load goes into it.

How the service answers a cached read (kvservice.http.app, core.reads, cache.redis, and redis-py under it):
  visit 1  uvicorn parses the head and makes a task; the door, the name, then a task that sends GET to the cache
  visit 2  that task, at once: the loop comes to it in its next turn
  pause    the cache's answer
  visit 3  the answer is decoded, judged and written to the client
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, variance
from typing import Any

from bench.truth.beds import Bed
from bench.truth.drive import send
from bench.truth.machine import BenchError, Pod
from bench.truth.steps import REQUEST, SENDING

from kvplan.laws import Deterministic, LogNormal
from kvplan.system import Class, Pause, Station, System, Visit

_VISITS = 3
_IDLE_RATE, _STEPS_RATE = 40.0, 150.0
_SATURATING = ("--max-in-flight", "4")  # of a rate that no pod can do: about as many a turn as at a load of .85
_MOST_RATE = 5000.0
_MIDDLE = 0.6  # of the capacity
_EVENLY = ("--arrivals", "constant")


@dataclass(frozen=True)
class Shape:
    """How a saturated pod's work for a read is split over its visits: `shares` of all of it, sum 1; `cvs` of each.
    `gap` (s): from the end of the second visit to the begin of the third, in an idle pod."""

    shares: tuple[float, ...]
    cvs: tuple[float, ...]
    gap: float


@dataclass(frozen=True)
class Costs:
    """Seconds. `warm`: CPU of a read while the loop never sleeps. `wake`: CPU more after each sleep. `idle`: CPU of a
    read at low load. `rest`: what of an idle pod's latency is neither CPU nor the cache: client and loopback.
    `others`: share of the pod's core that other programs used meanwhile, at most. `uneven`: CV of a read's CPU from one
    moment to the next, saturated."""

    warm: float
    wake: float
    rest: float
    idle: float
    shape: Shape
    others: float
    uneven: float

    @property
    def capacity(self) -> float:
        """Reads per second that keep the loop busy."""
        return 1 / self.warm

    def of_run(self, cost: float, sleeps: float) -> "Costs":
        """With the CPU (s) and the sleeps a read that a run itself has had, instead of what was measured before it."""
        return replace(self, warm=cost - self.wake * sleeps)

    @classmethod
    def of(cls, kept: dict[str, Any]) -> "Costs":
        """From what a report has of them."""
        return cls(**{**kept, "shape": Shape(**kept["shape"])})


@dataclass(frozen=True)
class _Timed:
    """Of each read: the request's steps (begin, s), and the time of the step that sent its command. `cost`: CPU of the
    event loop, of a read."""

    requests: list[list[tuple[float, float]]]
    sending: list[float]
    cost: float


def shape(bed: Bed, folder: Path, seconds: float) -> Shape:
    """From two pods with a stopwatch in them: a saturated one, and one with so few and so evenly spaced reads that
    none waits for another."""
    full = _timed(bed, folder, seconds, _MOST_RATE, _SATURATING)
    idle = _timed(bed, folder, seconds, _STEPS_RATE, _EVENLY)
    first, last = [steps[0][1] for steps in full.requests], [steps[-1][1] for steps in full.requests]
    between = [
        sum(step for _, step in steps[1:-1]) + sent for steps, sent in zip(full.requests, full.sending, strict=True)
    ]
    # What no task did (reading, parsing, the loop itself) is half the first visit's and half the last one's.
    outside = max(full.cost - mean(first) - mean(between) - mean(last), 0.0) / 2
    works = (mean(first) + outside, mean(between), mean(last) + outside)
    # A request that has two steps only found the cache's answer when it came to wait for it.
    gaps = [max(steps[-1][0] - sum(steps[-2]), 0.0) for steps in idle.requests if len(steps) == _VISITS]
    return Shape(
        tuple(work / sum(works) for work in works),
        tuple(_cv(times) for times in (first, between, last)),
        sum(gaps) / len(idle.requests),
    )


def _timed(bed: Bed, folder: Path, seconds: float, rate: float, options: tuple[str, ...]) -> _Timed:
    file = folder / "steps.json"
    with bed.pod(folder, file) as pod:
        sent = send(pod, rate=rate, seconds=seconds, seed=1, options=options)
    found: dict[str, list[list[tuple[float, float]]]] = json.loads(file.read_text())
    number = sent.figures["requests"]
    requests, sending = found.get(REQUEST, [])[-number:], found.get(SENDING, [])[-number:]
    if min(len(requests), len(sending)) < number:
        raise BenchError(
            f"the pod with a stopwatch has timed {len(requests)} requests and {len(sending)} commands to the cache; "
            f"expected {number}: uvicorn or redis-py do not work as this program knows them"
        )
    return _Timed(requests, [steps[0][1] for steps in sending], sent.cost)


def _cv(times: list[float]) -> float:
    """Of the lognormal law that is likeliest."""
    return math.sqrt(math.expm1(variance(map(math.log, times))))


def costs(pod: Pod, shape: Shape, seconds: float) -> Costs:
    """Three loads on the pod that is to be measured: idle, saturated, in the middle. CPU a read is `warm` and `wake`
    times the sleeps a read, in the latter two."""
    idle = send(pod, rate=_IDLE_RATE, seconds=seconds, seed=2, options=_EVENLY)
    full = send(pod, rate=_MOST_RATE, seconds=seconds, seed=3, options=_SATURATING)
    middle = send(pod, rate=_MIDDLE / full.cost, seconds=seconds, seed=4)
    if middle.sleeps <= full.sleeps:
        raise BenchError(f"the pod sleeps {middle.sleeps:.2f} times a read in the middle, {full.sleeps:.2f} saturated")
    slips_s = [sent.figures["slip"]["mean_ms"] / 1000 for sent in (idle, middle)]  # less when there is more to do
    wake = max((middle.cost - full.cost) / (middle.sleeps - full.sleeps), 0.0)
    return Costs(
        warm=full.cost - wake * full.sleeps,
        wake=wake,
        rest=max(idle.latency_s("mean") - idle.cost - shape.gap - slips_s[0] + slips_s[1], 0.0),
        idle=idle.cost,
        shape=shape,
        others=max(sent.evidence.others for sent in (idle, full, middle)),
        uneven=full.evidence.uneven,
    )


def system(costs: Costs, rate: float) -> System:
    """A pod as kvplan sees it. The loop's waking up is a pause and no work: a queue whose server has to start has the
    waits of one that has not, and the start on top (Levy and Kleinrock, 1986). It may have slept before the first visit
    and before the third."""
    first, second, third = (
        Visit("pod", LogNormal(costs.warm * share, cv))
        for share, cv in zip(costs.shape.shares, costs.shape.cvs, strict=True)
    )
    steps = (
        first,
        second,
        Pause("cache", Deterministic(costs.shape.gap)),
        third,
        Pause("waking up, client", Deterministic(2 * costs.wake + costs.rest)),
    )
    return System(rate=rate, stations=(Station("pod", in_turns=True),), classes=(Class("hit", 1.0, steps),))

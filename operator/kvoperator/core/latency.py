"""The planner's p95 against what the pods' own clocks measured: `sights` of one look, and what is `told` of them.

It is for people to read and steers nothing. What is told is rounded, changes only after a few looks that agree, and
its numbers only when they have moved: a cluster whose traffic stays as it is costs no write.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor, log10

from kvoperator.api.spec import KVClusterSpec
from kvoperator.api.status import KVClusterStatus, RegionLatency
from kvoperator.core.judge import Samples
from kvoperator.core.judge.queries import WINDOW_S
from kvoperator.core.rollout import traffic
from kvoperator.core.rollout.model import RegionFacts
from kvoperator.core.rollout.reasons import Reason
from kvoperator.core.sizing import expected_p95

AS_PREDICTED = "AsPredicted"

LOOK_EVERY = timedelta(minutes=1)
REWRITE_AFTER = timedelta(minutes=5)
MOVED = 0.25  # of a number that is shown, until another one is worth a write
LEAST_REQUESTS = 100  # of a look's window; fewer have no p95

FACTOR = 2.0  # between observed and predicted before they part: as wide as the histogram's buckets are
SLACK_S = 0.001  # they never part by less: the histogram's first bucket
LOOKS, LOOKS_TO_PART = 2, 3  # in a row, before another reason is told

_GRAVEST_FIRST = (Reason.PARTS_FROM_MODEL, Reason.BEYOND_MODEL, Reason.AGREES, Reason.NO_DATA, Reason.NO_TRAFFIC)


@dataclass(frozen=True)
class Sight:
    """What one look saw of one region. Times in seconds."""

    reason: Reason
    message: str = ""
    qps: float | None = None
    predicted: float | None = None
    observed: float | None = None


@dataclass(frozen=True)
class Watch:
    """What is remembered from one look to the next: so many in a row said so."""

    at: datetime
    reason: Reason
    times: int


@dataclass(frozen=True)
class Comparison:
    """What is told: of each region, and of all of them."""

    regions: Mapping[str, RegionLatency]
    reason: Reason
    message: str


def sights(
    spec: KVClusterSpec, regions: Mapping[str, RegionFacts], rates: Samples | str, p95s: Samples | str
) -> dict[str, Sight]:
    """`rates` and `p95s`: Prometheus' answers to `observed_rates` and `observed_p95s`, or why there are none."""
    if isinstance(rates, str) or isinstance(p95s, str):
        why = rates if isinstance(rates, str) else str(p95s)
        return {region.name: Sight(Reason.NO_DATA, why) for region in spec.regions}
    return {
        region.name: _sight(spec, region.name, _serving(regions, region.name), rates.get((region.name, "")), p95s)
        for region in spec.regions
    }


def _serving(regions: Mapping[str, RegionFacts], region: str) -> int:
    """Pods that are ready and get traffic, as far as the gateway has told."""
    seen = regions.get(region, traffic.NOTHING_SEEN)
    return sum(pods.ready for revision, pods in seen.revisions.items() if traffic.is_routed(revision, seen))


def _sight(spec: KVClusterSpec, region: str, pods: int, qps: float | None, p95s: Samples) -> Sight:
    if qps is None:
        return Sight(Reason.NO_DATA, "Prometheus has no counts")
    observed = p95s.get((region, ""))
    if qps * WINDOW_S < LEAST_REQUESTS or observed is None or not pods:
        return Sight(Reason.NO_TRAFFIC, f"fewer than {LEAST_REQUESTS} requests in {WINDOW_S} s", qps)
    predicted = expected_p95(spec, region, pods, two_digits(qps))
    if isinstance(predicted, str):
        return Sight(Reason.BEYOND_MODEL, predicted, qps, None, observed)
    times = f"p95 {two_digits(1000 * observed):g} ms, predicted {two_digits(1000 * predicted):g} ms"
    message = f"{times}, at {two_digits(qps):g} requests/s on {pods} pods"
    low, high = sorted((observed, predicted))
    parts = high > FACTOR * low and high - low > SLACK_S
    return Sight(Reason.PARTS_FROM_MODEL if parts else Reason.AGREES, message, qps, predicted, observed)


def told(
    found: Mapping[str, Sight], watch: Watch | None, previous: KVClusterStatus, now: datetime
) -> tuple[Comparison, Watch]:
    """What is told from now on, and what is remembered for the next look."""
    seen = next(reason for reason in _GRAVEST_FIRST if any(sight.reason is reason for sight in found.values()))
    times = watch.times + 1 if watch and watch.reason is seen else 1
    old = next((each for each in previous.conditions if each.type == AS_PREDICTED), None)
    before = Reason(old.reason) if old else None
    needed = LOOKS_TO_PART if Reason.PARTS_FROM_MODEL in (seen, before) else LOOKS
    reason = seen if times >= needed else before or Reason.NO_DATA
    known = {region.name: region.latency for region in previous.regions if region.latency}
    shown = {name: _shown(sight, known.get(name), now) for name, sight in found.items()}
    fresh = {name: latency for name, latency in shown.items() if latency}
    message = old.message if old else "too few looks to tell"
    if reason is before and not _have_moved(known, fresh):
        return Comparison(known, reason, message), Watch(now, seen, times)
    return Comparison(fresh, reason, _message(reason, found) or message), Watch(now, seen, times)


def _message(reason: Reason, found: Mapping[str, Sight]) -> str:
    """Of the regions that the reason is true of; empty if this look has none."""
    return "; ".join(f"{name}: {sight.message}" for name, sight in found.items() if sight.reason is reason)


def _shown(sight: Sight, known: RegionLatency | None, now: datetime) -> RegionLatency | None:
    """Without data, what was known stays, with its time."""
    if sight.qps is None:
        return known
    predicted, observed = (
        None if time is None else two_digits(1000 * time) for time in (sight.predicted, sight.observed)
    )
    qps = two_digits(sight.qps) if sight.qps >= 1 else 0
    return RegionLatency(qps=qps, predicted_p95_ms=predicted, observed_p95_ms=observed, at=now)


def _have_moved(known: Mapping[str, RegionLatency], fresh: Mapping[str, RegionLatency]) -> bool:
    """A region's first p95; or a number is another by more than a quarter, and what is shown is not of just now."""
    return known.keys() != fresh.keys() or any(
        (new.observed_p95_ms is not None and known[name].observed_p95_ms is None)
        or (new.at >= known[name].at + REWRITE_AFTER and _differ(known[name], new))
        for name, new in fresh.items()
    )


def _differ(old: RegionLatency, new: RegionLatency) -> bool:
    numbers = (
        (old.qps, new.qps),
        (old.predicted_p95_ms, new.predicted_p95_ms),
        (old.observed_p95_ms, new.observed_p95_ms),
    )
    return any((a is None) != (b is None) or abs((a or 0) - (b or 0)) > MOVED * (a or 0) for a, b in numbers)


def two_digits(value: float) -> float:
    """Rounded to two significant digits."""
    return round(value, 1 - floor(log10(value))) if value > 0 else 0.0

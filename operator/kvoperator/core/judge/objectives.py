"""spec.slo as bad shares: each objective says which requests are bad and which share of them is allowed."""

from dataclasses import dataclass

from kvoperator.api.spec import Gate, KVClusterSpec
from kvoperator.api.units import seconds


@dataclass(frozen=True)
class Objective:
    gate: Gate
    bad: str  # in words: what a bad request is
    allowed: float  # share of bad requests that keeps the promise, 0 to 1
    threshold_s: float | None = None  # latency only


def objectives(spec: KVClusterSpec) -> tuple[Objective, ...]:
    """Those of the spec's gates; each latency percentile is an objective of its own."""
    found = []
    if Gate.AVAILABILITY in spec.rollout.gates:
        found.append(Objective(Gate.AVAILABILITY, "answered 5xx", _allowed(spec.slo.availability)))
    if Gate.LATENCY in spec.rollout.gates:
        for percentile, within in sorted(spec.slo.latency.items()):
            slow = f"slower than {within}"
            found.append(Objective(Gate.LATENCY, slow, _allowed(float(percentile)), seconds(within)))
    return tuple(found)


def _allowed(percent_good: float) -> float:
    return round((100 - percent_good) / 100, 12)

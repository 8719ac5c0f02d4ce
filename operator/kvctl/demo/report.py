"""What was seen in the demo -> its report, and what of it did not hold. Pure.

Everything here was measured from outside: by the load, Envoy, Prometheus and the list of pods. The operator's own word
(phase, verdicts) is recorded beside it, and decides nothing.
"""

import math
from dataclasses import dataclass, field
from typing import Any

PROMOTED, ROLLED_BACK, UNDECIDED = "promoted", "rolled_back", "undecided"
DETECTION_SLACK_S = 2.0


@dataclass
class Seen:
    """One rollout as it was seen. Times are seconds since the release was set; weights are percent of the canary."""

    image: str
    seconds: float = 0.0
    weights: list[tuple[float, str, int]] = field(default_factory=list)  # every change in Envoy
    phase: str = ""
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    first_bad_s: float | None = None  # when a slow request of the canary was first visible in Prometheus
    requests: int = 0
    failed_requests: int = 0
    dropped_requests: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    canary_requests: int = 0  # answered by the canary's pods, and by all, while it had a share
    routed_requests: int = 0
    judged_pods: set[str] = field(default_factory=set)  # UIDs of the canary's pods in the last step
    serving_pods: set[str] = field(default_factory=set)  # UIDs of the pods that serve in the end


@dataclass(frozen=True)
class Terms:
    """What the manifest asks for."""

    regions: tuple[str, ...]
    steps: tuple[int, ...]
    interval_s: float


def outcome(seen: Seen, regions: tuple[str, ...]) -> str:
    """What Envoy's weights say became of the release."""
    last = {region: weight for _, region, weight in seen.weights}
    if all(last.get(region) == 100 for region in regions):
        return PROMOTED
    tried = any(weight > 0 for _, _, weight in seen.weights)
    return ROLLED_BACK if tried and not any(last.values()) else UNDECIDED


def max_weight(seen: Seen) -> int:
    return max((weight for _, _, weight in seen.weights), default=0)


def zero_s(seen: Seen) -> float | None:
    """When the canary's weight had come back to 0 in every region, for good; None: it has not."""
    last: dict[str, int] = {}
    at: float | None = None
    for when, region, weight in seen.weights:
        before, last[region] = any(last.values()), weight
        after = any(last.values())
        at = when if before and not after else None if after else at
    return at


def detect_to_zero_s(seen: Seen) -> float | None:
    end = zero_s(seen)
    return None if seen.first_bad_s is None or end is None else max(0.0, end - seen.first_bad_s)


def request_share(seen: Seen) -> float:
    """Percent of the requests that the canary's pods answered while it had a share."""
    return 100 * seen.canary_requests / seen.routed_requests if seen.routed_requests else 0.0


def entry(seen: Seen, terms: Terms) -> dict[str, Any]:
    """A rollout as `report.json` has it."""
    return {
        "image": seen.image,
        "outcome": outcome(seen, terms.regions),
        "seconds": round(seen.seconds, 2),
        "weights": [[round(at, 2), region, weight] for at, region, weight in seen.weights],
        "requests": seen.requests,
        "failed_requests": seen.failed_requests,
        "dropped_requests": seen.dropped_requests,
        "errors": seen.errors,
        "phase": seen.phase,
        "verdicts": seen.verdicts,
    }


def good_entry(seen: Seen, terms: Terms) -> dict[str, Any]:
    pods = {"judged_pods": sorted(seen.judged_pods), "serving_pods": sorted(seen.serving_pods)}
    return {**entry(seen, terms), **pods}


def bad_entry(seen: Seen, terms: Terms) -> dict[str, Any]:
    took = detect_to_zero_s(seen)
    return {
        **entry(seen, terms),
        "first_bad_s": None if seen.first_bad_s is None else round(seen.first_bad_s, 2),
        "detect_to_zero_s": None if took is None else round(took, 2),
        "max_share": max_weight(seen),
        "request_share": round(request_share(seen), 2),
    }


def violations(good: Seen, bad: Seen | None, terms: Terms) -> list[str]:
    """Every promise that did not hold, as a sentence; empty: all held."""
    found = [*_of_both("good", good), *_of_good(good, terms)]
    if bad is None:
        return [*found, "bad: the slow release was not tried, because the good one did not come to an end"]
    return [*found, *_of_both("bad", bad), *_of_bad(bad, terms)]


def _of_both(name: str, seen: Seen) -> list[str]:
    found = []
    if not seen.requests:
        found.append(f"{name}: the load got no answer at all, so nothing was shown")
    if seen.failed_requests:
        found.append(
            f"{name}: {seen.failed_requests} of {seen.requests} requests failed ({seen.errors}), expected none"
        )
    if seen.dropped_requests:
        found.append(f"{name}: {seen.dropped_requests} requests could not be sent, too many were waiting for an answer")
    return found


def _of_good(seen: Seen, terms: Terms) -> list[str]:
    found = []
    if (became := outcome(seen, terms.regions)) != PROMOTED:
        found.append(f"good: the release was {became} (phase {seen.phase}), expected {PROMOTED} in every region")
    for region in terms.regions:
        shares = [weight for _, one, weight in seen.weights if one == region and weight > 0]
        if became == PROMOTED and shares != [*terms.steps, 100]:
            found.append(f"good: {region} went {shares}, expected {[*terms.steps, 100]}")
    if not seen.judged_pods:
        found.append("good: no pod of the release was seen in the last step")
    if replaced := seen.judged_pods - seen.serving_pods:
        found.append(
            f"good: {len(replaced)} of {len(seen.judged_pods)} pods that were judged do not serve: {sorted(replaced)}"
        )
    return found


def _of_bad(seen: Seen, terms: Terms) -> list[str]:
    found = []
    if (became := outcome(seen, terms.regions)) != ROLLED_BACK:
        found.append(f"bad: the slow release was {became} (phase {seen.phase}), expected {ROLLED_BACK} in every region")
    if (most := max_weight(seen)) > terms.steps[0]:
        found.append(
            f"bad: the slow release had {most} % of a region, expected at most its first step's {terms.steps[0]} %"
        )
    if (share := request_share(seen)) > _plausible(terms.steps[0], seen.routed_requests):
        found.append(
            f"bad: its pods answered {share:.1f} % of the requests, too many for a share of {terms.steps[0]} %"
        )
    allowed = terms.interval_s + DETECTION_SLACK_S
    took = detect_to_zero_s(seen)
    if took is None:
        found.append("bad: there was no slow sample in Prometheus, or no return to weight 0, to measure between")
    elif took > allowed:
        found.append(f"bad: {took:.1f} s from the first slow sample to weight 0, expected at most {allowed:g} s")
    return found


def _plausible(weight: int, requests: int) -> float:
    """The largest percentage to expect of a share drawn at random: four standard deviations above the weight."""
    share = weight / 100
    return 100 * (share + 4 * math.sqrt(share * (1 - share) / max(1, requests)))

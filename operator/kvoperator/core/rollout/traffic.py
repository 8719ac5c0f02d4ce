"""State + facts -> what each region is to be: pods and weights.

Keeps four promises: weights sum to 100; the canary's weight never exceeds the share its ready pods can carry; a
canary or a leaving revision is never scaled down while it is routed, or may be; pods go only after their weight is
confirmed to be 0.
"""

from collections.abc import Mapping
from typing import Protocol

from kvoperator.api.spec import AUTO, KVClusterSpec, Region
from kvoperator.api.status import Phase, RolloutStatus
from kvoperator.core.rollout.model import RegionFacts, RegionPlan, RevisionFacts

NOTHING_SEEN = RegionFacts()
NO_PODS = RevisionFacts()


class Observed(Protocol):
    """What is asked for and what is there: the part of Facts that pods and weights follow from."""

    @property
    def spec(self) -> KVClusterSpec: ...

    @property
    def regions(self) -> Mapping[str, RegionFacts]: ...


def plans(state: RolloutStatus, facts: Observed) -> dict[str, RegionPlan]:
    return {region.name: plan(state, facts.spec, region, seen(facts, region)) for region in facts.spec.regions}


def plan(state: RolloutStatus, spec: KVClusterSpec, region: Region, seen: RegionFacts) -> RegionPlan:
    """What `region` is to be. Leaving revisions keep their pods, without weight, until the gateway has confirmed it."""
    replicas = {name: pods.replicas for name, pods in seen.revisions.items() if is_routed(name, seen)}
    if state.stable is None:
        return RegionPlan(replicas=replicas, weights={})
    replicas[state.stable.name] = size(region)
    if state.canary is None or state.phase is Phase.ROLLING_BACK:
        return RegionPlan(replicas=replicas, weights={state.stable.name: 100})
    canary = state.canary.name
    needed = pods_for(max(state.traffic, target(state, spec)), region)
    keep = is_routed(canary, seen) or state.phase is Phase.FROZEN
    replicas[canary] = max(needed, pods_of(canary, seen).replicas) if keep else needed
    weight = canary_weight(state, region, seen)
    return RegionPlan(replicas=replicas, weights={state.stable.name: 100 - weight, canary: weight})


def target(state: RolloutStatus, spec: KVClusterSpec) -> int:
    """The share, in percent, that the canary's pods must be able to carry next."""
    match state.phase:
        case Phase.PREFLIGHT:
            return spec.rollout.steps[0].traffic
        case Phase.STEPPING:
            return spec.rollout.steps[min(state.step, len(spec.rollout.steps) - 1)].traffic
        case Phase.BAKING:
            return 100
        case _:
            return state.traffic


def size(region: Region) -> int:
    """Pods that carry all of the region's traffic."""
    assert region.replicas != AUTO, "`auto` is a number by now: core/sizing.py"
    return region.replicas


def pods_for(share: int, region: Region) -> int:
    """Pods that carry `share` percent of the region: rounded up."""
    return -(-size(region) * share // 100)


def canary_weight(state: RolloutStatus, region: Region, seen: RegionFacts) -> int:
    """The share asked for, or what the pods that are ready can carry, whichever is less."""
    if state.canary is None:
        return 0
    return min(state.traffic, 100 * pods_of(state.canary.name, seen).ready // size(region))


def is_routed(revision: str, seen: RegionFacts) -> bool:
    """True as well when the gateway has not told, so that doubt never costs a pod that serves."""
    return seen.weights is None or seen.weights.get(revision, 0) > 0


def is_confirmed(planned: RegionPlan, seen: RegionFacts) -> bool:
    return seen.weights is not None and _carrying(seen.weights) == _carrying(planned.weights)


def has_drifted(planned: RegionPlan, seen: RegionFacts) -> bool:
    """The gateway says that it holds other weights than planned (not: that it has said nothing)."""
    return seen.weights is not None and not is_confirmed(planned, seen)


def seen(facts: Observed, region: Region) -> RegionFacts:
    return facts.regions.get(region.name, NOTHING_SEEN)


def pods_of(revision: str, seen: RegionFacts) -> RevisionFacts:
    return seen.revisions.get(revision, NO_PODS)


def _carrying(weights: Mapping[str, int]) -> dict[str, int]:
    return {revision: weight for revision, weight in weights.items() if weight}


def unconfirmed_regions(state: RolloutStatus, facts: Observed) -> list[str]:
    """Regions whose gateway holds other weights than planned, or does not say."""
    planned = plans(state, facts)
    return [r.name for r in facts.spec.regions if not is_confirmed(planned[r.name], seen(facts, r))]


def are_all_confirmed(state: RolloutStatus, facts: Observed) -> bool:
    return not unconfirmed_regions(state, facts)


def unconfirmed_message(state: RolloutStatus, facts: Observed) -> str:
    return f"the gateway has not confirmed the weights in {', '.join(unconfirmed_regions(state, facts))}"


def lacking_pods(revision: str, share: int, facts: Observed) -> list[str]:
    """A sentence for each region in which fewer pods are ready than `share` percent needs."""
    lacks = []
    for region in facts.spec.regions:
        pods, needed = pods_of(revision, seen(facts, region)), pods_for(share, region)
        if pods.ready < needed:
            problem = f" ({pods.problem})" if pods.problem else ""
            lacks.append(f"{region.name}: {pods.ready} of {needed} pods ready{problem}")
    return lacks


def unscraped_pods(revision: str, share: int, facts: Observed) -> list[str]:
    """A sentence for each region in which Prometheus sees fewer pods than `share` percent needs."""
    lacks = []
    for region in facts.spec.regions:
        scraped, needed = pods_of(revision, seen(facts, region)).scraped, pods_for(share, region)
        if scraped is not None and scraped < needed:
            lacks.append(f"{region.name}: Prometheus sees {scraped} of {needed} pods")
    return lacks


def unanswered_regions(revision: str, facts: Observed) -> list[str]:
    """Regions of which Prometheus could not say which pods it sees."""
    return [region.name for region in facts.spec.regions if pods_of(revision, seen(facts, region)).scraped is None]

"""What people and GitOps tools read: state and facts -> KVCluster.status, with conditions by the rules of kstatus.

Ready: the release that the spec wants serves in every region. Reconciling: on the way there by itself. Stalled: not on
the way, somebody must act. Paused: somebody asked for it. Sized and AsPredicted are the planner's, where there is a
workload; they touch no other. The same inputs give the same status, so an idle pass writes nothing; a condition's
transition time moves only when its status does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kvoperator.api.spec import KVClusterSpec
from kvoperator.api.status import (
    Condition,
    ConditionStatus,
    KVClusterStatus,
    Phase,
    RegionLatency,
    RegionStatus,
    RolloutStatus,
)
from kvoperator.core.latency import AS_PREDICTED, Comparison
from kvoperator.core.rollout import traffic
from kvoperator.core.rollout.model import Event, RegionFacts
from kvoperator.core.rollout.reasons import Reason
from kvoperator.core.rollout.transitions import NORMAL, WARNING
from kvoperator.core.sizing import Size

SIZED = "Sized"

# Problems that the next try may find gone; all others wait for a person.
_PASSING = frozenset({Reason.APPLY_FAILED})
_ALARMING = frozenset({Reason.OUT_OF_REACH, Reason.BEYOND_MODEL, Reason.PARTS_FROM_MODEL})
_UNREADY = {
    Phase.PROVISIONING: Reason.PROVISIONING,
    Phase.PREFLIGHT: Reason.ROLLING_OUT,
    Phase.STEPPING: Reason.ROLLING_OUT,
    Phase.BAKING: Reason.ROLLING_OUT,
    Phase.DONE: Reason.REGIONS_NOT_READY,
    Phase.ROLLING_BACK: Reason.ROLLING_BACK,
    Phase.ROLLED_BACK: Reason.ROLLED_BACK,
    Phase.FROZEN: Reason.FROZEN,
}


@dataclass(frozen=True)
class Problem:
    """What a pass ran into: InvalidSpec, FieldConflict (the message names field and manager) or ApplyFailed."""

    reason: Reason
    message: str
    region: str | None = None


@dataclass(frozen=True)
class Outlook:
    """What the planner says. `sizes`: of regions whose replicas are auto. `comparison` None: nobody looked just now."""

    sizes: Mapping[str, Size] = field(default_factory=dict)
    comparison: Comparison | None = None


@dataclass(frozen=True)
class _Observed:
    spec: KVClusterSpec
    regions: Mapping[str, RegionFacts]


@dataclass(frozen=True)
class _Says:
    """A condition without its times."""

    type: str
    holds: bool | None  # None: unknown
    reason: str
    message: str


def status(
    generation: int,
    spec: KVClusterSpec | None,
    state: RolloutStatus,
    regions: Mapping[str, RegionFacts],
    now: datetime,
    previous: KVClusterStatus,
    problems: Sequence[Problem] = (),
    outlook: Outlook = Outlook(),
) -> KVClusterStatus:
    """The whole status. `spec` is None when it cannot be read (see `problems`): what was known of regions stays."""
    observed = _Observed(spec, regions) if spec else None
    shown = _regions(observed, state, _latency(observed.spec, outlook, previous)) if observed else previous.regions
    said = _conditions(state, _lacks(observed, state), _spoken(problems))
    said += [*_sized(outlook.sizes), *_as_predicted(spec, outlook, previous)]
    return KVClusterStatus(
        observed_generation=generation,
        phase=state.phase,
        release=state.stable.image if state.stable else "",
        regions_ready=_regions_ready(observed, state) if observed else previous.regions_ready,
        traffic=f"{state.traffic}%" if state.canary else "",
        regions=shown,
        rollout=state,
        conditions=[_dated(says, generation, now, previous) for says in said],
    )


def flips(before: KVClusterStatus, after: KVClusterStatus) -> tuple[Event, ...]:
    """An Event when the planner begins, or ceases, to say what somebody should know."""
    known = {condition.type: condition.reason for condition in before.conditions}
    events = []
    for condition in after.conditions:
        old, new = known.get(condition.type), condition.reason
        if condition.type in (SIZED, AS_PREDICTED) and old != new and {old, new} & _ALARMING:
            events.append(Event(WARNING if new in _ALARMING else NORMAL, new, condition.message))
    return tuple(events)


def _latency(spec: KVClusterSpec, outlook: Outlook, previous: KVClusterStatus) -> Mapping[str, RegionLatency | None]:
    if outlook.comparison:
        return outlook.comparison.regions
    return {region.name: region.latency for region in previous.regions} if spec.workload else {}


def _regions(
    observed: _Observed, state: RolloutStatus, latency: Mapping[str, RegionLatency | None]
) -> list[RegionStatus]:
    shown = []
    for region in observed.spec.regions:
        seen = traffic.seen(observed, region)
        plan = traffic.plan(state, observed.spec, region, seen)
        ready = sum(pods.ready for pods in seen.revisions.values())
        wanted = sum(plan.replicas.values())
        shown.append(
            RegionStatus(
                name=region.name,
                replicas=traffic.size(region),
                ready=ready,
                wanted=wanted,
                weights=dict(seen.weights or {}),
                latency=latency.get(region.name),
            )
        )
    return shown


def _regions_ready(observed: _Observed, state: RolloutStatus) -> str:
    total = len(observed.spec.regions)
    lacking = len(traffic.lacking_pods(state.stable.name, 100, observed)) if state.stable else total
    return f"{total - lacking}/{total}"


def _lacks(observed: _Observed | None, state: RolloutStatus) -> str:
    """Why stable does not serve in every region; empty if it does."""
    if observed is None or state.stable is None:
        return "nothing serves yet" if state.stable is None else ""
    lacks = traffic.lacking_pods(state.stable.name, 100, observed)
    if not lacks and not traffic.are_all_confirmed(state, observed):
        lacks = [traffic.unconfirmed_message(state, observed)]
    return "; ".join(lacks)


def _spoken(problems: Sequence[Problem]) -> _Says | None:
    """The problems as one condition that is Stalled, or Reconciling where all of them may pass by themselves."""
    if not problems:
        return None
    lasting = [problem for problem in problems if problem.reason not in _PASSING]
    told = lasting or list(problems)
    message = "; ".join(f"{p.region}: {p.message}" if p.region else p.message for p in told)
    return _Says("Stalled" if lasting else "Reconciling", True, told[0].reason, message)


def _conditions(state: RolloutStatus, lacks: str, problem: _Says | None) -> list[_Says]:
    stalled = _stalled(state, problem)
    reconciling = _reconciling(state, lacks, problem, bool(stalled.holds))
    unwell = next((says for says in (stalled, reconciling) if says.holds), None)
    if unwell is None:
        ready = _Says("Ready", True, Reason.SERVING, "the release serves in every region")
    else:
        ready = _Says("Ready", False, unwell.reason if unwell is problem else _UNREADY[state.phase], unwell.message)
    paused = _Says("Paused", False, Reason.NOT_PAUSED, "")
    if state.paused_by:
        paused = _Says("Paused", True, Reason.PAUSED, f"paused by {state.paused_by}")
    return [ready, reconciling, stalled, paused]


def _stalled(state: RolloutStatus, problem: _Says | None) -> _Says:
    if problem and problem.type == "Stalled":
        return problem
    if state.phase is Phase.ROLLED_BACK and state.refused:
        refused = state.refused
        return _Says("Stalled", True, refused.reason, f"{refused.image} was refused: {refused.message}")
    if state.phase is Phase.FROZEN:
        reason, message = (state.hold.reason, state.hold.message) if state.hold else (Reason.FROZEN, "")
        return _Says("Stalled", True, reason, f"frozen until somebody promotes, aborts or retries: {message}")
    return _Says("Stalled", False, Reason.NOT_STALLED, "")


def _reconciling(state: RolloutStatus, lacks: str, problem: _Says | None, is_stalled: bool) -> _Says:
    if is_stalled:
        return _Says("Reconciling", False, Reason.SETTLED, "")
    if problem:
        return problem
    if state.phase is Phase.DONE and not lacks:
        return _Says("Reconciling", False, Reason.SETTLED, "")
    if state.phase in (Phase.DONE, Phase.PROVISIONING):
        return _Says("Reconciling", True, _UNREADY[state.phase], lacks or "the regions are being set up")
    if state.hold:
        return _Says("Reconciling", True, state.hold.reason, state.hold.message)
    image = state.canary.image if state.canary else ""
    return _Says("Reconciling", True, _UNREADY[state.phase], f"{state.phase}: {state.traffic} % for {image}")


def _sized(sizes: Mapping[str, Size]) -> list[_Says]:
    """Nothing where no region's replicas are auto."""
    unknown = [name for name, size in sizes.items() if size.pods is None]
    short = [name for name, size in sizes.items() if not size.holds]
    message = "; ".join(f"{name}: {sizes[name].why}" for name in unknown or short or sizes)
    if unknown or short:
        return [_Says(SIZED, False, Reason.BEYOND_MODEL if unknown else Reason.OUT_OF_REACH, message)]
    return [_Says(SIZED, True, Reason.PLAN_HOLDS, message)] if sizes else []


def _as_predicted(spec: KVClusterSpec | None, outlook: Outlook, previous: KVClusterStatus) -> list[_Says]:
    """What the last look said, as long as there is a workload to predict by."""
    if found := outlook.comparison:
        reason, message = found.reason, found.message
    else:
        old = next((condition for condition in previous.conditions if condition.type == AS_PREDICTED), None)
        if old is None or (spec and spec.workload is None):
            return []
        reason, message = Reason(old.reason), old.message
    holds = {Reason.AGREES: True, Reason.PARTS_FROM_MODEL: False}.get(reason)
    return [_Says(AS_PREDICTED, holds, reason, message)]


def _dated(says: _Says, generation: int, now: datetime, previous: KVClusterStatus) -> Condition:
    holds = {True: ConditionStatus.TRUE, False: ConditionStatus.FALSE, None: ConditionStatus.UNKNOWN}[says.holds]
    old = next((condition for condition in previous.conditions if condition.type == says.type), None)
    return Condition(
        type=says.type,
        status=holds,
        reason=says.reason,
        message=says.message,
        last_transition_time=old.last_transition_time if old and old.status is holds else now,
        observed_generation=generation,
    )

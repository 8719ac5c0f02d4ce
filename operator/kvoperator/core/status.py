"""What people and GitOps tools read: state and facts -> KVCluster.status, with conditions by the rules of kstatus.

Ready: the release that the spec wants serves in every region. Reconciling: on the way there by itself. Stalled: not on
the way, somebody must act. Paused: somebody asked for it. The same inputs give the same status, so an idle pass writes
nothing; a condition's transition time moves only when its status does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kvoperator.api.spec import KVClusterSpec
from kvoperator.api.status import Condition, ConditionStatus, KVClusterStatus, Phase, RegionStatus, RolloutStatus
from kvoperator.core.rollout import traffic
from kvoperator.core.rollout.model import RegionFacts
from kvoperator.core.rollout.reasons import Reason

# Problems that the next try may find gone; all others wait for a person.
_PASSING = frozenset({Reason.APPLY_FAILED})
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
class _Observed:
    spec: KVClusterSpec
    regions: Mapping[str, RegionFacts]


@dataclass(frozen=True)
class _Says:
    """A condition without its times."""

    type: str
    holds: bool
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
) -> KVClusterStatus:
    """The whole status. `spec` is None when it cannot be read (see `problems`): what was known of regions stays."""
    observed = _Observed(spec, regions) if spec else None
    shown = _regions(observed, state) if observed else previous.regions
    said = _conditions(state, _lacks(observed, state), _spoken(problems))
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


def _regions(observed: _Observed, state: RolloutStatus) -> list[RegionStatus]:
    shown = []
    for region in observed.spec.regions:
        seen = traffic.seen(observed, region)
        plan = traffic.plan(state, observed.spec, region, seen)
        ready = sum(pods.ready for pods in seen.revisions.values())
        wanted = sum(plan.replicas.values())
        shown.append(RegionStatus(name=region.name, ready=ready, wanted=wanted, weights=dict(seen.weights or {})))
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
    reconciling = _reconciling(state, lacks, problem, stalled.holds)
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


def _dated(says: _Says, generation: int, now: datetime, previous: KVClusterStatus) -> Condition:
    holds = ConditionStatus.TRUE if says.holds else ConditionStatus.FALSE
    old = next((condition for condition in previous.conditions if condition.type == says.type), None)
    return Condition(
        type=says.type,
        status=holds,
        reason=says.reason,
        message=says.message,
        last_transition_time=old.last_transition_time if old and old.status is holds else now,
        observed_generation=generation,
    )

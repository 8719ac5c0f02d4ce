"""The clock of a share: when the gates are looked at, what the looks said, when time alone changes the answer.

A share's clock starts at `step_started_at`. A look made later than that counts for it; a look at or after the hold's
end decides.
"""

from datetime import datetime, timedelta

from kvoperator.api.spec import KVClusterSpec
from kvoperator.api.status import Outcome, Phase, RolloutStatus, Verdict
from kvoperator.api.units import seconds
from kvoperator.core.rollout import traffic
from kvoperator.core.rollout.model import Facts, Look
from kvoperator.core.rollout.transitions import IN_PROGRESS, Turn

JUDGED = frozenset({Phase.STEPPING, Phase.BAKING})
_GRAVEST_FIRST = (Outcome.FAIL, Outcome.ERROR, Outcome.NO_DATA)


def after(start: datetime, duration: str) -> datetime:
    return start + timedelta(seconds=seconds(duration))


def take_verdicts(turn: Turn, facts: Facts) -> Turn:
    """Store the look's verdicts, unless they are about another share than the one in force."""
    started = turn.state.step_started_at
    if turn.state.phase not in JUDGED or started is None:
        return turn
    fresh = [verdict for verdict in facts.verdicts if verdict.at > started]
    if not fresh:
        return turn
    return turn.note(verdicts=fresh, looked_at=max(verdict.at for verdict in fresh))


def last_look(state: RolloutStatus) -> datetime | None:
    """The last look that counts for the share in force."""
    if state.looked_at and state.step_started_at and state.looked_at > state.step_started_at:
        return state.looked_at
    return None


def outcome(state: RolloutStatus, spec: KVClusterSpec) -> Outcome | None:
    """What the last look says of all regions and gates together; a missing verdict is NoData. None: no look yet."""
    if last_look(state) is None:
        return None
    said = {(verdict.region, verdict.gate): verdict.outcome for verdict in state.verdicts}
    asked = {(region.name, gate.value) for region in spec.regions for gate in spec.rollout.gates}
    outcomes = {said.get(pair, Outcome.NO_DATA) for pair in asked}
    return next((grave for grave in _GRAVEST_FIRST if grave in outcomes), Outcome.PASS)


def those_that(outcome: Outcome, state: RolloutStatus, spec: KVClusterSpec) -> list[Verdict]:
    """The last look's verdicts with this outcome, of regions and gates that the spec still has."""
    regions = {region.name for region in spec.regions}
    gates = {gate.value for gate in spec.rollout.gates}
    return [v for v in state.verdicts if v.outcome is outcome and v.region in regions and v.gate in gates]


def hold_end(state: RolloutStatus, spec: KVClusterSpec) -> datetime | None:
    """When the share in force has been held long enough; None while its clock does not run."""
    if state.step_started_at is None or state.traffic != traffic.target(state, spec):
        return None
    if state.phase is Phase.BAKING:
        return after(state.step_started_at, spec.rollout.bake)
    step = spec.rollout.steps[min(state.step, len(spec.rollout.steps) - 1)]
    return after(state.step_started_at, step.hold)


def has_final_look(state: RolloutStatus, spec: KVClusterSpec) -> bool:
    """True when the last look was made with the hold over."""
    end, looked = hold_end(state, spec), last_look(state)
    return end is not None and looked is not None and looked >= end


def next_look(state: RolloutStatus, spec: KVClusterSpec) -> datetime | None:
    """Every interval, and once at the hold's end."""
    if state.phase not in JUDGED or state.step_started_at is None or state.canary is None:
        return None
    last = last_look(state) or state.step_started_at
    regular, end = after(last, spec.rollout.interval), hold_end(state, spec)
    return min(regular, end) if end and last < end else regular


def look_due(state: RolloutStatus, spec: KVClusterSpec, now: datetime) -> Look | None:
    due = next_look(state, spec)
    if due is None or due > now or state.canary is None or state.stable is None or state.step_started_at is None:
        return None
    stable = state.stable.name if state.phase is Phase.STEPPING else None
    return Look(canary=state.canary.name, stable=stable, since=state.step_started_at)


def wake_at(state: RolloutStatus, spec: KVClusterSpec, now: datetime) -> datetime | None:
    """The next moment at which time alone changes the answer."""
    if state.phase not in IN_PROGRESS:
        return None
    moments = [next_look(state, spec), hold_end(state, spec)]
    if state.unready_since:
        moments.append(after(state.unready_since, spec.rollout.progress_deadline))
    if state.no_data_since:
        moments.append(after(state.no_data_since, spec.rollout.no_data_deadline))
    return min((moment for moment in moments if moment and moment > now), default=None)

"""The phases in which a canary is under way: Preflight, and the shares it holds while it is judged (Stepping, Baking).

Small rules, each `(turn, facts) -> turn`, in the order in which they count: what ends the release first, then the
share's clock, then the next share, and at last why it waits.
"""

from datetime import datetime

from kvoperator.api.spec import OnFailure
from kvoperator.api.status import Outcome, Phase, Refusal, Verdict
from kvoperator.core.rollout import looks, traffic
from kvoperator.core.rollout.model import Facts
from kvoperator.core.rollout.reasons import Reason
from kvoperator.core.rollout.transitions import CLEARED, Transition, Turn


def preflight(turn: Turn, facts: Facts) -> Turn:
    """Weight 0: wait for pods that are ready and scraped, for a stable to compare with, for gateways that answer."""
    for rule in (_preflight_clocks, _end_by_deadline, _start_stepping):
        phase, turn = turn.state.phase, rule(turn, facts)
        if turn.state.phase is not phase:
            return turn
    return turn


def judged(turn: Turn, facts: Facts) -> Turn:
    """A share is held and judged, or the next one waits for its pods."""
    for rule in (_end_by_verdict, _clocks, _end_by_deadline, _share_clock, _next_share, _end_of_hold, _say_why):
        phase, turn = turn.state.phase, rule(turn, facts)
        if turn.state.phase is not phase:
            return turn
    return turn


def _fail(turn: Turn, policy: OnFailure, reason: Reason, message: str) -> Turn:
    """Roll back or freeze, as the spec says, with the reason in status."""
    state = turn.state
    if policy is OnFailure.FREEZE or state.canary is None:
        frozen = turn.note(**{**CLEARED, "traffic": state.traffic}, paused_by=None)
        hold = frozen.held(reason, message).state.hold
        return frozen.make(Transition.FREEZE, f"{reason}: {message}", hold=hold)
    refusal = Refusal(revision=state.canary.name, image=state.canary.image, reason=reason, message=message, at=turn.now)
    return turn.make(Transition.ROLL_BACK, f"{reason}: {message}", **CLEARED, refused=refusal, paused_by=None)


def _end_by_verdict(turn: Turn, facts: Facts) -> Turn:
    if looks.outcome(turn.state, facts.spec) is not Outcome.FAIL:
        return turn
    failed = looks.those_that(Outcome.FAIL, turn.state, facts.spec)
    message = "; ".join(_sentence(verdict) for verdict in failed)
    return _fail(turn, facts.spec.rollout.on_failure, Reason.GATE_FAILED, message)


def _end_by_deadline(turn: Turn, facts: Facts) -> Turn:
    state, rollout = turn.state, facts.spec.rollout
    if state.unready_since and turn.now >= looks.after(state.unready_since, rollout.progress_deadline):
        message = f"after {rollout.progress_deadline}: {_lacks(turn, facts)}"
        return _fail(turn, rollout.on_failure, Reason.CANARY_NOT_READY, message)
    if state.no_data_since and turn.now >= looks.after(state.no_data_since, rollout.no_data_deadline):
        reason, message = _silence(turn, facts)
        return _fail(turn, rollout.on_no_data, reason, f"for {rollout.no_data_deadline}: {message}")
    return turn


def _preflight_clocks(turn: Turn, facts: Facts) -> Turn:
    silent = _pods_are_ready(turn, facts) and traffic.unanswered_regions(_canary(turn), facts)
    return turn.note(
        unready_since=_since(turn.state.unready_since, turn.now, bool(_lacks(turn, facts))),
        no_data_since=_since(turn.state.no_data_since, turn.now, bool(silent)),
    )


def _clocks(turn: Turn, facts: Facts) -> Turn:
    """Since when pods, and answers, are awaited: an Error at once, NoData from the hold's end, neither in a pause."""
    said = looks.outcome(turn.state, facts.spec)
    silent = said is Outcome.ERROR or (said is Outcome.NO_DATA and looks.has_final_look(turn.state, facts.spec))
    return turn.note(
        unready_since=_since(turn.state.unready_since, turn.now, not _pods_are_ready(turn, facts)),
        no_data_since=_since(turn.state.no_data_since, turn.now, silent and not turn.state.paused_by),
    )


def _start_stepping(turn: Turn, facts: Facts) -> Turn:
    state = turn.state
    stable = state.stable.name if state.stable else ""
    if lacks := _lacks(turn, facts):
        return turn.held(Reason.CANARY_NOT_READY, lacks)
    if state.no_data_since:
        return turn.held(*_silence(turn, facts))
    if lacking := traffic.lacking_pods(stable, 100, facts):
        message = f"stable is no measure: {'; '.join(lacking)}. To go on without: kvctl rollout promote"
        return turn.held(Reason.STABLE_NOT_READY, message)
    if not traffic.are_all_confirmed(state, facts):
        return turn.held(Reason.WEIGHTS_UNCONFIRMED, traffic.unconfirmed_message(state, facts))
    if state.paused_by:
        return turn.held(Reason.PAUSED, f"paused by {state.paused_by}")
    return _raise(turn, facts, Transition.STEP)


def _share_clock(turn: Turn, facts: Facts) -> Turn:
    """The clock runs from when every gateway has confirmed the share, and anew when it was lost on the way.

    A gateway that says nothing for a while neither stops the clock nor lets the hold end.
    """
    state = turn.state
    planned = traffic.plans(state, facts)
    regions = [(region, planned[region.name], traffic.seen(facts, region)) for region in facts.spec.regions]
    short = [r.name for r, _, seen in regions if traffic.canary_weight(state, r, seen) < state.traffic]
    drifted = [r.name for r, plan, seen in regions if traffic.has_drifted(plan, seen)]
    if short or drifted:
        if state.step_started_at is None:
            return turn
        why = f"too few canary pods in {', '.join(short)}" if short else f"other weights in {', '.join(drifted)}"
        message = f"the share of {state.traffic} % is not held: {why}; its hold begins anew"
        return turn.make(Transition.LOSE_SHARE, message, step_started_at=None)
    if state.step_started_at is None and state.traffic and traffic.are_all_confirmed(state, facts):
        return turn.note(step_started_at=turn.now)
    return turn


def _next_share(turn: Turn, facts: Facts) -> Turn:
    """Go to the share that the step asks for: down at once, up when every region has the pods for it."""
    state, steps = turn.state, facts.spec.rollout.steps
    if state.phase is Phase.STEPPING and state.step >= len(steps):
        turn = turn.note(step=len(steps) - 1)
    wanted = traffic.target(state, facts.spec)
    waits = state.paused_by or not _pods_are_ready(turn, facts)
    if wanted == state.traffic or (wanted > state.traffic and waits):
        return turn
    return _raise(turn, facts, Transition.BAKE if state.phase is Phase.BAKING else Transition.STEP)


def _raise(turn: Turn, facts: Facts, transition: Transition) -> Turn:
    spec = facts.spec.rollout
    share = traffic.target(turn.state, facts.spec)
    if transition is Transition.BAKE:
        message = f"100 % for {_canary(turn)}, watched for {spec.bake}"
    else:
        number = turn.state.step + 1
        message = f"step {number} of {len(spec.steps)}: {share} % for {_canary(turn)}"
    return turn.make(
        transition, message, traffic=share, step_started_at=None, unready_since=None, no_data_since=None, hold=None
    )


def _end_of_hold(turn: Turn, facts: Facts) -> Turn:
    """The hold is over, and the look at its end has Pass for every region and gate: on to the next."""
    state, spec = turn.state, facts.spec
    end = looks.hold_end(state, spec)
    if end is None or turn.now < end or state.paused_by or not traffic.are_all_confirmed(state, facts):
        return turn
    unwatched = state.phase is Phase.BAKING and end == state.step_started_at
    passed = looks.has_final_look(state, spec) and looks.outcome(state, spec) is Outcome.PASS
    if not (passed or unwatched):
        return turn
    if state.phase is Phase.BAKING:
        return _promote(turn)
    message = (
        f"step {state.step + 1} of {len(spec.rollout.steps)} ({state.traffic} %) passed every gate in every region"
    )
    if state.step + 1 == len(spec.rollout.steps):
        return turn.make(Transition.PASS_LAST_STEP, message, hold=None)
    turn = turn.make(Transition.PASS_STEP, message, step=state.step + 1, hold=None)
    # The next step may ask for the same share: then only its clock starts anew.
    same = traffic.target(turn.state, spec) == state.traffic
    return turn.note(step_started_at=turn.now) if same else turn


def _promote(turn: Turn) -> Turn:
    """Roles move, pods stay: what was judged is what serves."""
    canary = turn.state.canary
    message = f"{canary.image} ({canary.name}) is stable now" if canary else ""
    return turn.make(Transition.PROMOTE, message, **CLEARED, stable=canary, canary=None, step=0)


def _say_why(turn: Turn, facts: Facts) -> Turn:
    """Why it is not moving, if it is not: the gravest reason only."""
    state = turn.state
    if looks.outcome(state, facts.spec) is Outcome.ERROR or state.no_data_since:
        return turn.held(*_silence(turn, facts))
    if state.unready_since:
        return turn.held(Reason.CANARY_NOT_READY, _lacks(turn, facts))
    if not traffic.are_all_confirmed(state, facts):
        return turn.held(Reason.WEIGHTS_UNCONFIRMED, traffic.unconfirmed_message(state, facts))
    if state.paused_by:
        return turn.held(Reason.PAUSED, f"paused by {state.paused_by}")
    return turn.note(hold=None)


def _canary(turn: Turn) -> str:
    return turn.state.canary.name if turn.state.canary else ""


def _pods_are_ready(turn: Turn, facts: Facts) -> bool:
    return not traffic.lacking_pods(_canary(turn), traffic.target(turn.state, facts.spec), facts)


def _lacks(turn: Turn, facts: Facts) -> str:
    """Which regions lack canary pods; before the first share also pods that Prometheus does not see."""
    share = traffic.target(turn.state, facts.spec)
    lacks = traffic.lacking_pods(_canary(turn), share, facts)
    if turn.state.phase is Phase.PREFLIGHT and not lacks:
        lacks = traffic.unscraped_pods(_canary(turn), share, facts)
    return "; ".join(lacks)


def _silence(turn: Turn, facts: Facts) -> tuple[Reason, str]:
    """Which gates have had no answer, and what they said instead."""
    state, spec = turn.state, facts.spec
    if state.phase is Phase.PREFLIGHT:
        regions = ", ".join(traffic.unanswered_regions(_canary(turn), facts))
        return Reason.METRICS_UNAVAILABLE, f"Prometheus does not say which canary pods it sees in {regions}"
    for outcome, reason in ((Outcome.ERROR, Reason.METRICS_UNAVAILABLE), (Outcome.NO_DATA, Reason.NO_DATA)):
        if found := looks.those_that(outcome, state, spec):
            return reason, "; ".join(f"{v.region} {v.gate}: {v.message}" for v in found)
    return Reason.NO_DATA, "the last look has no verdict for some region and gate"


def _sentence(verdict: Verdict) -> str:
    canary, stable = verdict.canary, verdict.stable
    seen = f"canary {canary.bad:.0f} bad of {canary.total:.0f}, stable {stable.bad:.0f} bad of {stable.total:.0f}"
    if verdict.evidence is not None and verdict.bound is not None:
        seen += f", evidence 10^{verdict.evidence:.1f} of the 10^{verdict.bound:.1f} that means Fail"
    return f"{verdict.region} {verdict.gate}: {seen}. {verdict.message}".rstrip()


def _since(since: datetime | None, now: datetime, is_so: bool) -> datetime | None:
    return (since or now) if is_so else None

"""The rollout machine: `advance(state, facts, now) -> (state, effects)`. Pure, total, deterministic.

A pass does the request, follows the spec to another release, takes in the verdicts, and then lets the phase's own
function change the state until nothing changes any more. So the answer is a fixpoint: the same inputs again change
nothing and say nothing, and a pass that a crash cut short is simply made again.
"""

from datetime import datetime

from kvoperator.api.status import Phase, RolloutStatus
from kvoperator.core.rollout import looks, traffic
from kvoperator.core.rollout.canary import judged, preflight
from kvoperator.core.rollout.model import Effects, Facts
from kvoperator.core.rollout.reasons import Reason
from kvoperator.core.rollout.requests import carry_out
from kvoperator.core.rollout.transitions import CLEARED, UNDECIDED, Transition, Turn

# A pass can pass a step, raise the next share, find it confirmed and say why it waits; the bound is there only so that
# a mistake in this room would show as a slow rollout and not as an endless loop.
MOST_ROUNDS = 12


def advance(state: RolloutStatus, facts: Facts, now: datetime) -> tuple[RolloutStatus, Effects]:
    """What the rollout becomes, and what is to be done, given what is seen. `now` is timezone-aware."""
    turn = _follow_spec(carry_out(Turn(state, now), facts), facts)
    turn = looks.take_verdicts(turn, facts)
    for _ in range(MOST_ROUNDS):
        before, turn = turn, _phase(turn, facts)
        if turn.state == before.state:
            break
    return turn.state, Effects(
        regions=traffic.plans(turn.state, facts),
        look=looks.look_due(turn.state, facts.spec, now),
        events=turn.events,
        wake_at=looks.wake_at(turn.state, facts.spec, now),
    )


def _phase(turn: Turn, facts: Facts) -> Turn:
    match turn.state.phase:
        case Phase.PROVISIONING:
            return _provisioning(turn, facts)
        case Phase.PREFLIGHT:
            return preflight(turn, facts)
        case Phase.STEPPING | Phase.BAKING:
            return judged(turn, facts)
        case Phase.ROLLING_BACK:
            return _rolling_back(turn, facts)
        case Phase.DONE | Phase.ROLLED_BACK | Phase.FROZEN:
            return turn


def _follow_spec(turn: Turn, facts: Facts) -> Turn:
    """Go after the release that the spec wants now, whatever is under way."""
    state, wanted = turn.state, facts.wanted
    canary = state.canary.name if state.canary else None
    named = f"{wanted.image} ({wanted.name})"
    if state.stable is None or (state.phase is Phase.PROVISIONING and wanted.name != state.stable.name):
        message = f"{named} is being set up; there is no release to compare it with"
        return turn.make(Transition.PROVISION, message, **CLEARED, stable=wanted, phase_started_at=turn.now)
    if wanted.name == state.stable.name:
        if state.phase is Phase.ROLLED_BACK:
            return turn.make(Transition.SETTLE, f"the spec wants {named} again, which serves")
        return _drop_canary(turn, f"the spec wants {named} again, which is stable")
    if state.refused and wanted.name == state.refused.revision:
        why = f"the spec wants {named}, which was refused: {state.refused.message}"
        if state.phase is Phase.DONE:
            return turn.make(Transition.STILL_REFUSED, f"{why}. To try it again: kvctl rollout retry")
        return _drop_canary(turn, why)
    if canary == wanted.name and state.phase is not Phase.ROLLING_BACK:
        return turn
    message = f"{named} starts at 0 % and is judged against {state.stable.image} ({state.stable.name})"
    if canary:
        message += f"; {canary} gives up its traffic"
    fresh = {**CLEARED, "canary": wanted, "step": 0, "verdicts": [], "phase_started_at": turn.now}
    return turn.make(Transition.START, message, **fresh)


def _drop_canary(turn: Turn, why: str) -> Turn:
    """Take the canary's traffic away without refusing it: nobody wants it any more."""
    if turn.state.phase in UNDECIDED:
        return turn.make(Transition.REVERT, why, **CLEARED, paused_by=None)
    return turn


def _provisioning(turn: Turn, facts: Facts) -> Turn:
    stable = turn.state.stable
    if stable is None or not traffic.are_all_confirmed(turn.state, facts):
        return turn
    if any(traffic.lacking_pods(stable.name, 100, facts)):
        return turn
    return turn.make(Transition.SERVE, f"{stable.image} ({stable.name}) serves in every region", **CLEARED)


def _rolling_back(turn: Turn, facts: Facts) -> Turn:
    """Over when every region's gateway has confirmed that the canary has no traffic."""
    state = turn.state
    if not traffic.are_all_confirmed(state, facts):
        return turn.held(Reason.WEIGHTS_UNCONFIRMED, traffic.unconfirmed_message(state, facts))
    ended = {**CLEARED, "canary": None, "step": 0, "paused_by": None}
    if state.refused and facts.wanted.name == state.refused.revision:
        message = f"all traffic is on stable again in every region; {facts.wanted.image} was refused: "
        return turn.make(Transition.ROLLED_BACK, message + state.refused.message, **ended)
    return turn.make(Transition.REVERTED, "all traffic is on stable again in every region", **ended)

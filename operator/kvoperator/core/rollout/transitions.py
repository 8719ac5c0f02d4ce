"""Every change of state the rollout can make, and the Turn that makes it. The table with guards is in docs/rollout.md.

No change of phase and no Event happens but through `Turn.make`.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, unique
from typing import Any

from kvoperator.api.status import Hold, Phase, RolloutStatus
from kvoperator.core.rollout.model import Event
from kvoperator.core.rollout.reasons import EVERYDAY, Reason

NORMAL, WARNING = "Normal", "Warning"
IN_PROGRESS = frozenset({Phase.PREFLIGHT, Phase.STEPPING, Phase.BAKING})
UNDECIDED = IN_PROGRESS | {Phase.FROZEN}
ANY = frozenset(Phase)


@dataclass(frozen=True)
class Rule:
    sources: frozenset[Phase]
    to: Phase | None  # None: the phase stays
    event: str
    type: str = NORMAL


@unique
class Transition(Enum):
    PROVISION = Rule(frozenset({Phase.PROVISIONING}), Phase.PROVISIONING, "Provisioning")
    SERVE = Rule(frozenset({Phase.PROVISIONING}), Phase.DONE, "Provisioned")
    START = Rule(ANY - {Phase.PROVISIONING}, Phase.PREFLIGHT, "ReleaseStarted")
    REVERT = Rule(UNDECIDED, Phase.ROLLING_BACK, "Reverting")
    STILL_REFUSED = Rule(frozenset({Phase.DONE}), Phase.ROLLED_BACK, "StillRefused", WARNING)
    SETTLE = Rule(frozenset({Phase.ROLLED_BACK}), Phase.DONE, "Settled")
    STEP = Rule(frozenset({Phase.PREFLIGHT, Phase.STEPPING}), Phase.STEPPING, "StepStarted")
    PASS_STEP = Rule(frozenset({Phase.STEPPING}), Phase.STEPPING, "StepPassed")
    PASS_LAST_STEP = Rule(frozenset({Phase.STEPPING}), Phase.BAKING, "StepPassed")
    BAKE = Rule(frozenset({Phase.BAKING}), Phase.BAKING, "BakeStarted")
    PROMOTE = Rule(frozenset({Phase.BAKING}), Phase.DONE, "Promoted")
    ROLL_BACK = Rule(IN_PROGRESS, Phase.ROLLING_BACK, "RollingBack", WARNING)
    FREEZE = Rule(IN_PROGRESS, Phase.FROZEN, "Frozen", WARNING)
    ROLLED_BACK = Rule(frozenset({Phase.ROLLING_BACK}), Phase.ROLLED_BACK, "RolledBack", WARNING)
    REVERTED = Rule(frozenset({Phase.ROLLING_BACK}), Phase.DONE, "Reverted")
    LOSE_SHARE = Rule(frozenset({Phase.STEPPING, Phase.BAKING}), None, "ShareLost", WARNING)
    HOLD = Rule(IN_PROGRESS, None, "Held")
    ASKED_PROMOTE = Rule(frozenset({Phase.PREFLIGHT, Phase.STEPPING, Phase.FROZEN}), Phase.BAKING, "PromoteRequested")
    ASKED_ABORT = Rule(UNDECIDED, Phase.ROLLING_BACK, "AbortRequested")
    ASKED_PAUSE = Rule(IN_PROGRESS, None, "PauseRequested")
    ASKED_RESUME = Rule(IN_PROGRESS, None, "ResumeRequested")
    ASKED_RETRY = Rule(frozenset({Phase.ROLLED_BACK, Phase.FROZEN}), Phase.PREFLIGHT, "RetryRequested")
    REFUSE_REQUEST = Rule(ANY, None, "RequestRefused", WARNING)


@dataclass(frozen=True)
class Turn:
    """One pass's work so far: the state as it has become, and the Events on the way."""

    state: RolloutStatus
    now: datetime
    events: tuple[Event, ...] = ()

    def make(self, transition: Transition, message: str, **changes: Any) -> "Turn":
        """Change the state as `transition` says, with `changes` to its fields, and tell."""
        rule = transition.value
        phase = rule.to or self.state.phase
        started = self.state.phase_started_at if phase is self.state.phase else self.now
        event = Event(rule.type, rule.event, message)
        state = self.state.model_copy(update={"phase": phase, "phase_started_at": started, **changes})
        return replace(self, state=state, events=(*self.events, event))

    def note(self, **changes: Any) -> "Turn":
        """Change fields that nobody needs an Event about."""
        return replace(self, state=self.state.model_copy(update=changes))

    def held(self, reason: Reason, message: str) -> "Turn":
        """Say why the rollout waits; `since` moves only when the reason does."""
        old = self.state.hold
        if old and old.reason == reason:
            return self.note(hold=old.model_copy(update={"message": message}))
        hold = Hold(reason=reason, message=message, since=self.now)
        if reason in EVERYDAY:
            return self.note(hold=hold)
        return self.make(Transition.HOLD, f"{reason}: {message}", hold=hold)


# What every start, end and standstill of a canary resets.
CLEARED: dict[str, Any] = {
    "traffic": 0,
    "step_started_at": None,
    "looked_at": None,
    "unready_since": None,
    "no_data_since": None,
    "hold": None,
}

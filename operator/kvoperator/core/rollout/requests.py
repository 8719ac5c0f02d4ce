"""What people ask for: reading the annotation `kvcluster.dev/request`, and carrying it out once.

The annotation's value is JSON: `{"id": …, "verb": …, "actor": …, "revision": …}` (`revision` may be left out). Status
keeps the id of the last request dealt with, so a replay (an old annotation put back, a restart) does nothing.
"""

import hashlib
import json
import re
from typing import Any, assert_never

from kvoperator.api.status import Phase, Refusal, RolloutStatus
from kvoperator.core.rollout.model import Facts, Malformed, Request, Verb
from kvoperator.core.rollout.reasons import Reason
from kvoperator.core.rollout.transitions import CLEARED, Transition, Turn

_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_ACTOR_MAX = 128
_FIELDS = {"id", "verb", "actor", "revision"}
_TRANSITIONS = {
    Verb.PROMOTE: Transition.ASKED_PROMOTE,
    Verb.ABORT: Transition.ASKED_ABORT,
    Verb.PAUSE: Transition.ASKED_PAUSE,
    Verb.RESUME: Transition.ASKED_RESUME,
    Verb.RETRY: Transition.ASKED_RETRY,
}


def parse(value: str) -> Request | Malformed:
    """The annotation's value as a Request, or what is wrong with it. Raises nothing."""
    wrong = _what_is_wrong(value)
    if isinstance(wrong, str):
        digest = hashlib.sha256(value.encode(errors="replace")).hexdigest()[:16]
        return Malformed(id=f"malformed-{digest}", message=wrong)
    fields = wrong
    return Request(id=fields["id"], verb=Verb(fields["verb"]), actor=fields["actor"], revision=fields.get("revision"))


def carry_out(turn: Turn, facts: Facts) -> Turn:
    """Do what the request asks, or refuse it; either way it is recorded as dealt with."""
    request, state = facts.request, turn.state
    if request is None or request.id == state.last_request:
        return turn
    if isinstance(request, Malformed):
        return turn.make(Transition.REFUSE_REQUEST, request.message, last_request=request.id)
    objection = _objection(state, request, facts)
    if objection:
        message = f"{request.verb} asked for by {request.actor} was refused: {objection}"
        return turn.make(Transition.REFUSE_REQUEST, message, last_request=request.id)
    message = f"{request.verb} asked for by {request.actor}"
    changes = _changes(turn, request, facts)
    return turn.make(_TRANSITIONS[request.verb], message, last_request=request.id, **changes)


def _what_is_wrong(value: str) -> dict[str, Any] | str:
    """The fields, or a sentence about what is wrong with them."""
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        return f"The request annotation is not JSON: {value[:80]!r}; kvctl rollout writes it"
    if not isinstance(fields, dict):
        return f"The request annotation is {value[:80]!r}; expected an object with id, verb and actor"
    if unknown := sorted(set(fields) - _FIELDS):
        return f"The request annotation has unknown fields {str(unknown)[:80]}; known are {', '.join(sorted(_FIELDS))}"
    identity, verb, actor, revision = (fields.get(name) for name in ("id", "verb", "actor", "revision"))
    if not (isinstance(identity, str) and _ID.fullmatch(identity)):
        return f"The request's id is {str(identity)[:80]!r}; expected 1 to 64 letters, digits or ._:-"
    if verb not in list(Verb):
        return f"The request's verb is {str(verb)[:80]!r}; expected one of {', '.join(Verb)}"
    if not (isinstance(actor, str) and 0 < len(actor) <= _ACTOR_MAX and actor.isprintable()):
        return f"The request's actor is {str(actor)[:80]!r}; expected who asks, 1 to {_ACTOR_MAX} printable characters"
    if not (revision is None or isinstance(revision, str)):
        return f"The request's revision is {str(revision)[:80]!r}; expected a revision's name"
    return fields


def _objection(state: RolloutStatus, request: Request, facts: Facts) -> str:
    """Why the request cannot be carried out now; empty if it can."""
    sources = _TRANSITIONS[request.verb].value.sources
    if state.phase not in sources:
        return f"the rollout is {state.phase}; {request.verb} is possible in {', '.join(sorted(sources))}"
    if state.phase is Phase.ROLLED_BACK:
        subject = state.refused.revision if state.refused else ""
        if facts.wanted.name != subject:
            return f"the spec wants {facts.wanted.name} by now, not the refused {subject}"
    else:
        subject = state.canary.name if state.canary else ""
    if request.revision not in (None, subject):
        return f"it names revision {request.revision}, the rollout is about {subject}"
    if request.verb is Verb.PAUSE and state.paused_by:
        return f"it is paused already, by {state.paused_by}"
    if request.verb is Verb.RESUME and not state.paused_by:
        return "it is not paused"
    return ""


def _changes(turn: Turn, request: Request, facts: Facts) -> dict[str, Any]:
    state = turn.state
    match request.verb:
        case Verb.PROMOTE:  # the share in force stays until the pods for 100 % are ready; it is judged afresh
            return {**CLEARED, "traffic": state.traffic, "paused_by": None}
        case Verb.ABORT:
            return {**CLEARED, "paused_by": None, "refused": _aborted(turn, request.actor)}
        case Verb.PAUSE:
            return {"paused_by": request.actor}
        case Verb.RESUME:
            return {"paused_by": None}
        case Verb.RETRY:
            return {**CLEARED, "canary": state.canary or facts.wanted, "step": 0, "refused": None, "verdicts": []}
        case _:
            assert_never(request.verb)


def _aborted(turn: Turn, actor: str) -> Refusal | None:
    canary = turn.state.canary
    if canary is None:
        return turn.state.refused
    return Refusal(
        revision=canary.name, image=canary.image, reason=Reason.ABORTED, message=f"aborted by {actor}", at=turn.now
    )

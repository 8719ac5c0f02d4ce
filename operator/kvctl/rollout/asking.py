"""Asking the operator for something: the annotation `kvcluster.dev/request`, and waiting for its answer.

The format is that of `kvoperator/core/rollout/requests.py`. The operator records the request's id in status when it has
dealt with it, and tells by an Event whether it did as asked.
"""

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

from kvctl.errors import ClusterError
from kvctl.rollout.view import line, rollout, subject
from kvoperator.core.naming import REQUEST_ANNOTATION
from kvoperator.core.rollout.model import Verb

_REFUSED = "RequestRefused"
_POLL_S = 0.25
_EVENT_WITHIN_S = 3.0  # Events are written beside the status, in no promised order


class Cluster(Protocol):
    """What is asked of `kvctl.kube.Kube`."""

    def cluster(self, name: str) -> dict[str, Any]: ...
    def annotate(self, name: str, annotations: dict[str, str]) -> None: ...
    def events(self, name: str) -> list[dict[str, Any]]: ...


def request(verb: Verb, *, identity: str, actor: str, revision: str | None) -> str:
    """The annotation's value."""
    return json.dumps({"id": identity, "verb": verb, "actor": actor, "revision": revision})


def ask(
    kube: Cluster,
    name: str,
    verb: Verb,
    *,
    identity: str,
    actor: str,
    within_s: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Ask, and return what became of it. Raises ClusterError when it was refused or nobody took it up `within_s`."""
    found = kube.cluster(name)
    known = {_mark(event) for event in kube.events(name)}
    value = request(verb, identity=identity, actor=actor, revision=subject(found))
    kube.annotate(name, {REQUEST_ANNOTATION: value})
    deadline = clock() + within_s
    while rollout(found := kube.cluster(name)).get("lastRequest") != identity:
        if clock() > deadline:
            raise ClusterError(
                f"nobody took up the request to {verb} {name} in {within_s:g} s; "
                "it stays, and is carried out when the operator runs"
            )
        sleep(_POLL_S)
    deadline = clock() + _EVENT_WITHIN_S
    while not (answer := _answer(kube.events(name), known, f"{verb} asked for by {actor}")) and clock() < deadline:
        sleep(_POLL_S)
    if answer and answer["reason"] == _REFUSED:
        raise ClusterError(answer["message"])
    return f"{answer['message'] if answer else f'{verb} taken up'}: {line(found)}"


def _answer(events: list[dict[str, Any]], known: set[tuple[Any, ...]], opening: str) -> dict[str, Any] | None:
    """The newest Event that was not there before and is about this request."""
    ours = [one for one in events if _mark(one) not in known and one.get("message", "").startswith(opening)]
    return ours[-1] if ours else None


def _mark(event: dict[str, Any]) -> tuple[Any, ...]:
    """An Event that is repeated keeps its uid and counts up."""
    series = event.get("series") or {}
    return event["metadata"]["uid"], event.get("count"), series.get("count")

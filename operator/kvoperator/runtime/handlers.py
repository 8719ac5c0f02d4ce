"""kopf as the informer: every handler feeds the mirror or wakes a KVCluster, and writes nothing.

An index handler sees every object of a kind before any event handler of any kind runs: so the first event handler to
run means that the mirror is whole. There are no others: they would put annotations or finalizers on our users' objects.
"""

import os
from typing import Any

import kopf

from kvoperator.ports import KINDS, Kind
from kvoperator.runtime.watched import Watched


def registry(watched: Watched) -> kopf.OperatorRegistry:
    handlers = kopf.OperatorRegistry()

    async def close(**_: Any) -> None:
        await watched.close()

    kopf.on.login(registry=handlers)(_login)
    # Before kopf ends: it waits 5 s for every task that was made since its start, ours included.
    kopf.on.cleanup(registry=handlers)(close)
    for kind in KINDS.values():
        _watch(handlers, kind, watched)
    return handlers


def _login(**known: Any) -> kopf.ConnectionInfo | None:
    """Called again by kopf when its token has run out."""
    by_file = bool(os.environ.get("KUBECONFIG"))
    return kopf.login_with_kubeconfig(**known) if by_file else kopf.login_with_service_account(**known)


def _watch(handlers: kopf.OperatorRegistry, kind: Kind, watched: Watched) -> None:
    group, _, version = kind.api_version.rpartition("/")

    async def feed(body: kopf.Body, **_: Any) -> None:
        watched.seen(kind, dict(body))

    async def told(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
        again, memo["listed"] = memo.get("listed", False), True
        watched.told(kind, event["type"], dict(event["object"]), again=again)

    kopf.index(group, version, kind.plural, id=f"feed-{kind.plural}", registry=handlers)(feed)
    kopf.on.event(group, version, kind.plural, id=f"told-{kind.plural}", registry=handlers)(told)

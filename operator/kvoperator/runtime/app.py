"""The wiring, and the process's life: check the API server, watch, work until told to stop."""

import random
from datetime import UTC, datetime

import kopf
import structlog

from kvoperator.adapters.kubernetes import Kubernetes
from kvoperator.adapters.prometheus import Prometheus
from kvoperator.ports import KINDS
from kvoperator.reconcile.cluster import Reconciler
from kvoperator.reconcile.mirror import Mirror
from kvoperator.reconcile.queue import Queue
from kvoperator.runtime.handlers import registry
from kvoperator.runtime.settings import Settings
from kvoperator.runtime.watched import Watched

_log = structlog.get_logger()


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


async def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Raises NotServedError or UnreachableError if it cannot begin."""
    kube, mirror, clock = Kubernetes(settings.namespace), Mirror(), WallClock()
    reconciler = Reconciler(kube, Prometheus(settings.prometheus_url), clock, mirror)
    queue = Queue(reconciler.reconcile, clock, random.random)
    watched = Watched(kube, mirror, queue)
    try:
        for kind in KINDS.values():
            await kube.objects(kind)  # a kind that is not served would be missing for ever, and silently
        _log.info("started", namespace=settings.namespace or "all")
        await _watch(settings, watched)
    finally:
        await watched.close()
        await kube.close()
    _log.info("stopped")


async def _watch(settings: Settings, watched: Watched) -> None:
    where = {"namespaces": [settings.namespace]} if settings.namespace else {"clusterwide": True}
    await kopf.operator(
        registry=registry(watched),
        settings=_kopf_settings(),
        liveness_endpoint=f"http://{settings.health_address}:{settings.health_port}/healthz",
        **where,
    )


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # we post our own Events, each once
    settings.scanning.disabled = True  # kinds are checked at the start; no rights to watch CRDs and namespaces needed
    settings.peering.standalone = True
    settings.watching.connect_timeout = 5
    settings.networking.request_timeout = 30  # default: 5 minutes of silence
    settings.queueing.exit_timeout = 0.5  # handlers only feed memory
    return settings

"""Spec -> Revision: which settings make a different pod, and the name they hash to.

Only what a user sets and a pod runs counts. The hash is over our own canonical JSON, never over library objects or
Kubernetes manifests, so that upgrading the operator or a library rolls nothing: the golden names in the tests must
not move.
"""

import hashlib
import json
from collections.abc import Iterable

from kvoperator.api.spec import KVClusterSpec, Slo
from kvoperator.api.status import Revision
from kvoperator.api.units import seconds


def revision(spec: KVClusterSpec) -> Revision:
    """The revision that `spec` asks for; its name is 10 hex characters.

    Replicas, regions, steps, gates and the availability target do not make a new revision.
    """
    config = {
        "KV_CACHE_TTL_S": number(seconds(spec.cache.ttl)),
        "KV_LATENCY_EDGES_S": ",".join(latency_edges(spec.slo)),
        "KV_MAX_ID_BYTES": str(spec.limits.id_bytes),
        "KV_MAX_VALUE_BYTES": str(spec.limits.value_bytes),
    }
    canonical = json.dumps({"config": config, "image": spec.release.image}, sort_keys=True, separators=(",", ":"))
    return Revision(name=hashlib.sha256(canonical.encode()).hexdigest()[:10], image=spec.release.image, config=config)


def latency_edges(slo: Slo) -> list[str]:
    """Histogram edges in seconds that the objectives need, ascending, each once."""
    return [number(edge) for edge in _distinct(seconds(threshold) for threshold in slo.latency.values())]


def number(value: float) -> str:
    """The shortest decimal: 0.1, 0.25, 1, 600. Millisecond sums such as 0.30000000000000004 are rounded away."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _distinct(values: Iterable[float]) -> list[float]:
    return sorted({round(value, 6) for value in values})

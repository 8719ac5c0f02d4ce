"""Spec -> Revision: which settings make a different pod, and the name they hash to.

Only what a user sets and a pod runs counts. The hash is over our own canonical JSON, never over library objects or
Kubernetes manifests, so that upgrading the operator or a library rolls nothing: the golden names in the tests must
not move.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from kvoperator.api.spec import KVClusterSpec, Namespace, Slo
from kvoperator.api.status import Revision
from kvoperator.api.units import byte_count, seconds

# Where pods find what is mounted.
STORE_FOLDER, AUTH_FOLDER, CASSANDRA_FOLDER = "/var/lib/kv", "/etc/kv/auth", "/etc/kv/cassandra"

FEED_PART = 8  # of a shard's memory, for the feed of changes that the other regions follow
LEAST_FEED_BYTES = 2**16


def revision(spec: KVClusterSpec) -> Revision:
    """The revision that `spec` asks for; its name is 10 hex characters.

    Replicas, regions, steps, gates and the availability target do not make a new revision.
    """
    config = {
        "KV_CACHE_STALE_S": number(seconds(spec.cache.stale)),
        "KV_CACHE_TTL_S": number(seconds(spec.cache.ttl)),
        "KV_LATENCY_EDGES_S": ",".join(latency_edges(spec.slo)),
        "KV_MAX_ID_BYTES": str(spec.limits.id_bytes),
        "KV_MAX_VALUE_BYTES": str(spec.limits.value_bytes),
        "KV_NAMESPACES": _canonical([_namespace(each) for each in spec.namespaces]),
        **_storage(spec),
        **({"KV_AUTH_FILE": f"{AUTH_FOLDER}/auth.json"} if spec.auth else {}),
    }
    named = Revision(
        name="", image=spec.release.image, config=config, secrets=_secrets(spec), cache_shards=spec.cache.shards
    )
    runs = {field: getattr(named, field) for field in ("image", "config", "secrets", "cache_shards")}
    return named.model_copy(update={"name": hashlib.sha256(_canonical(runs).encode()).hexdigest()[:10]})


def _storage(spec: KVClusterSpec) -> dict[str, str]:
    """Where the nodes are is not here: they are found anew, wherever they are, without another revision."""
    feed = {"KV_CACHE_FEED_BYTES": str(max(byte_count(spec.cache.memory) // FEED_PART, LEAST_FEED_BYTES))}
    if spec.storage.cassandra:
        return {"KV_CASSANDRA_KEYSPACE": "kv", **feed}
    if external := spec.storage.external:
        ca = {"KV_CASSANDRA_CA": f"{CASSANDRA_FOLDER}/ca.crt"} if external.tls else {}
        return {"KV_CASSANDRA_KEYSPACE": external.keyspace, **feed, **ca}
    return {"KV_STORE_PATH": f"{STORE_FOLDER}/store.db"}


def _secrets(spec: KVClusterSpec) -> dict[str, str]:
    external = spec.storage.external
    names = {"auth": spec.auth and spec.auth.secret_name, "cassandra": external and external.secret_name}
    return {purpose: name for purpose, name in names.items() if name}


def _namespace(policy: Namespace) -> dict[str, Any]:
    """As kvservice reads it. What is not set is left out, so that new fields of later versions change no name."""
    written = policy.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True, exclude={"ttl"})
    ttl = {"ttlS": math.ceil(seconds(policy.ttl))} if seconds(policy.ttl) else {}
    return {**written, "name": policy.name, **ttl}


def _canonical(value: dict[str, Any] | Sequence[Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def latency_edges(slo: Slo) -> list[str]:
    """Histogram edges in seconds that the objectives need, ascending, each once."""
    return [number(edge) for edge in _distinct(seconds(threshold) for threshold in slo.latency.values())]


def number(value: float) -> str:
    """The shortest decimal: 0.1, 0.25, 1, 600. Millisecond sums such as 0.30000000000000004 are rounded away."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _distinct(values: Iterable[float]) -> list[float]:
    return sorted({round(value, 6) for value in values})

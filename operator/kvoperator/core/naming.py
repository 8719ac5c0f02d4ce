"""Names and labels of everything the operator makes. One place, so that the gateway, Prometheus and people find it.

Longest name: 20 (cluster) + 20 (region) + 10 (revision) + separators = 52 of the 63 characters a label may have.
"""

from kvoperator.api.spec import GROUP

MANAGER = "kvoperator"
CLUSTER_LABEL = f"{GROUP}/cluster"
REGION_LABEL = f"{GROUP}/region"
REVISION_LABEL = f"{GROUP}/revision"
COMPONENT_LABEL = "app.kubernetes.io/component"  # service | cache
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
APPLIED_HASH = f"{GROUP}/applied-hash"  # annotation: hash of what was last applied
REQUEST_ANNOTATION = f"{GROUP}/request"  # annotation on the KVCluster: see core/rollout/requests.py

DATA_PORT = 8080
ADMIN_PORT = 9090
CACHE_PORT = 6379


def regional(cluster: str, region: str) -> str:
    """The HTTPRoute and the PDB of a region."""
    return f"{cluster}-{region}"


def revision_set(cluster: str, region: str, revision: str) -> str:
    """The Deployment, Service and ConfigMap of one revision in one region."""
    return f"{cluster}-{region}-{revision}"


def cache(cluster: str, region: str) -> str:
    return f"{cluster}-{region}-cache"


def data(cluster: str, region: str) -> str:
    """The region's volume claim."""
    return f"{cluster}-{region}-data"


def hostname(cluster: str, namespace: str) -> str:
    """The Host that clients send, the same in every region; the gateway's address makes the region."""
    return f"{cluster}.{namespace}.kv"


def metric_label(label: str) -> str:
    """A pod label as a label of that pod's metrics (the usual `labelmap` of Prometheus)."""
    return "".join(character if character.isalnum() else "_" for character in label)

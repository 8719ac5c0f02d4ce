"""Names and labels of everything the operator makes. One place, so that the gateway, Prometheus and people find it.

Longest name: 20 (cluster) + 20 (region) + 10 (revision) + separators = 52 of the 63 characters a label may have.
"""

from kvoperator.api.spec import GROUP

MANAGER = "kvoperator"
CLUSTER_LABEL = f"{GROUP}/cluster"
REGION_LABEL = f"{GROUP}/region"
REVISION_LABEL = f"{GROUP}/revision"
COMPONENT_LABEL = "app.kubernetes.io/component"  # service | cache | cassandra | relay | migration
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
APPLIED_HASH = f"{GROUP}/applied-hash"  # annotation: hash of what was last applied
REQUEST_ANNOTATION = f"{GROUP}/request"  # annotation on the KVCluster: see core/rollout/requests.py

DATA_PORT = 8080
ADMIN_PORT = 9090
CACHE_PORT = 6379
CQL_PORT = 9042


def regional(cluster: str, region: str) -> str:
    """The HTTPRoute, the PDB and the Service of a region."""
    return f"{cluster}-{region}"


def revision_set(cluster: str, region: str, revision: str) -> str:
    """The Deployment, Service and ConfigMap of one revision in one region."""
    return f"{cluster}-{region}-{revision}"


def cache(cluster: str, region: str) -> str:
    return f"{cluster}-{region}-cache"


def cassandra(cluster: str, region: str) -> str:
    """The StatefulSet, Service and PDB of the region's Cassandra nodes."""
    return f"{cluster}-{region}-cassandra"


def relay(cluster: str, region: str) -> str:
    return f"{cluster}-{region}-relay"


def tokens(cluster: str) -> str:
    """The Secret that all pods of the cluster share."""
    return f"{cluster}-tokens"


def migration(cluster: str, digest: str) -> str:
    """The Job that brings the schema to what an image needs."""
    return f"{cluster}-migrate-{digest}"


def pod_host(stateful_set: str, number: int, namespace: str) -> str:
    """The name that a StatefulSet's pod keeps, given a headless Service of the same name."""
    return f"{stateful_set}-{number}.{stateful_set}.{namespace}.svc"


def service_host(service: str, namespace: str) -> str:
    return f"{service}.{namespace}.svc"


def data(cluster: str, region: str) -> str:
    """The region's volume claim."""
    return f"{cluster}-{region}-data"


def hostname(cluster: str, namespace: str) -> str:
    """The Host that clients send, the same in every region; the gateway's address makes the region."""
    return f"{cluster}.{namespace}.kv"


def metric_label(label: str) -> str:
    """A pod label as a label of that pod's metrics (the usual `labelmap` of Prometheus)."""
    return "".join(character if character.isalnum() else "_" for character in label)

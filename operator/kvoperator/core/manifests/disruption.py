"""How many of a region's service pods may be drained at a time."""

from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster, Object, child, labels, selector


def disruption(cluster: Cluster, region: str) -> Object:
    """A tenth, at least one (Kubernetes rounds up): a node drain always ends, whatever the size of the region."""
    spec = {"maxUnavailable": "10%", "selector": {"matchLabels": selector(cluster, region, "service")}}
    name = naming.regional(cluster.name, region)
    return child(cluster, "policy/v1/PodDisruptionBudget", name, labels(cluster, region, "service"), {"spec": spec})

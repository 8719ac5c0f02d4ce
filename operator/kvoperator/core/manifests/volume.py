"""The region's data: what outlives pods, revisions and, under `deletionPolicy: Retain`, the KVCluster itself."""

from kvoperator.api.spec import DeletionPolicy, Embedded
from kvoperator.api.units import byte_count
from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster, Object, child, labels


def volume(cluster: Cluster, region: str, wanted: Embedded) -> Object:
    """Under Retain it has no owner; when the policy is switched, the owner follows."""
    storage = {"requests": {"storage": canonical(wanted.size)}}
    spec = {"accessModes": ["ReadWriteMany"], "resources": storage}
    name = naming.data(cluster.name, region)
    claim = child(cluster, "v1/PersistentVolumeClaim", name, labels(cluster, region, "service"), {"spec": spec})
    if cluster.spec.deletion_policy is DeletionPolicy.RETAIN:
        del claim["metadata"]["ownerReferences"]
    return claim


def canonical(quantity: str) -> str:
    """As the API server writes it back, so that it compares equal: `1024Mi` -> `1Gi`, `1500k` -> `1500k`."""
    count, base, units = byte_count(quantity), 1000, ("", "k", "M", "G", "T", "P")
    if quantity.endswith("i"):
        base, units = 1024, ("", "Ki", "Mi", "Gi", "Ti", "Pi")
    power = 0
    while count % base == 0 and power + 1 < len(units):
        count, power = count // base, power + 1
    return f"{count}{units[power]}"

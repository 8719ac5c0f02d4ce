"""What every object has in common: whose it is, how it is labelled, and the hash by which its upkeep is judged.

The other modules of this folder build one concern each. They know no client and no clock: the same cluster, region and
revision always give the same objects, byte for byte. A pod template reads only the stored Revision, the cluster's name
and the region, so neither a new operator nor an edit of the rollout's policy restarts a pod.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from kvoperator.api.spec import GROUP, KIND, VERSION, KVClusterSpec
from kvoperator.core import naming

Object = dict[str, Any]  # a Kubernetes object as JSON


@dataclass(frozen=True)
class Cluster:
    """A KVCluster as far as its children must know it."""

    name: str
    namespace: str
    uid: str
    spec: KVClusterSpec


def labels(cluster: Cluster, region: str | None, component: str, revision: str | None = None) -> dict[str, str]:
    """`region` None: of what the regions share."""
    own = {
        naming.MANAGED_BY_LABEL: naming.MANAGER,
        naming.COMPONENT_LABEL: component,
        naming.CLUSTER_LABEL: cluster.name,
    }
    own |= {naming.REGION_LABEL: region} if region else {}
    return own | ({naming.REVISION_LABEL: revision} if revision else {})


def selector(cluster: Cluster, region: str, component: str, revision: str | None = None) -> dict[str, str]:
    """The labels that pick pods: the smallest set that tells them apart, as a Deployment's can never be changed."""
    own = {naming.COMPONENT_LABEL: component, naming.CLUSTER_LABEL: cluster.name, naming.REGION_LABEL: region}
    return own | ({naming.REVISION_LABEL: revision} if revision else {})


def owned(cluster: Cluster) -> list[Object]:
    """The owner reference by which Kubernetes' garbage collector removes the object with its KVCluster."""
    reference = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "name": cluster.name, "uid": cluster.uid}
    return [reference | {"controller": True, "blockOwnerDeletion": True}]


def child(cluster: Cluster, kind: str, name: str, own_labels: dict[str, str], body: Object) -> Object:
    """An object of `kind` (`apiVersion/Kind`) owned by the KVCluster; `body` holds what stands beside `metadata`."""
    api_version, _, kind = kind.rpartition("/")
    metadata = {"name": name, "namespace": cluster.namespace, "labels": own_labels, "ownerReferences": owned(cluster)}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata} | body


def hashed(wanted: Object) -> Object:
    """`wanted` with the annotation that says what it was: a field that we stop asking for changes it, too."""
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]
    annotations = wanted["metadata"].get("annotations", {}) | {naming.APPLIED_HASH: digest}
    return wanted | {"metadata": wanted["metadata"] | {"annotations": annotations}}

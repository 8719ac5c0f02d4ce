"""What all pods share: where they may run, and how little they may do there."""

from kvoperator.api.spec import Region
from kvoperator.core.manifests.base import Object

REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"


def placement(region: Region, pod_labels: dict[str, str]) -> Object:
    """Only in the region's zones, evenly over them as far as there is room.

    ScheduleAnyway, not DoNotSchedule: when a zone is full or lost, pods in the wrong zone serve, pods that wait do not.
    """
    terms = [(REGION, [region.name]), (ZONE, region.zones)]
    expressions = [{"key": key, "operator": "In", "values": list(values)} for key, values in terms]
    required = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
        "topologySpreadConstraints": [spread(ZONE, pod_labels)],
    }


def spread(over: str, pod_labels: dict[str, str]) -> Object:
    """Evenly over the values of a node label, as far as there is room."""
    evenly = {"topologyKey": over, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
    return evenly | {"labelSelector": {"matchLabels": pod_labels}}


def restricted_pod() -> Object:
    """Passes the `restricted` Pod Security Standard; no pod of ours ever talks to the Kubernetes API."""
    user = 65532  # "nonroot" of the distroless images
    context = {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": user, "fsGroup": user}
    return {
        "securityContext": context | {"seccompProfile": {"type": "RuntimeDefault"}},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }


def restricted_container() -> Object:
    capabilities = {"drop": ["ALL"]}
    flags = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
    return {"securityContext": flags | {"capabilities": capabilities}}


def downward(name: str, field: str) -> Object:
    """An environment variable that holds a field of the pod itself."""
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": field}}}

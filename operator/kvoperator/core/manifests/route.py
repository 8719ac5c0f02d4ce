"""How a region's requests are shared between revisions. The gateway does as the weights say."""

from collections.abc import Mapping

from kvoperator.api.spec import GatewayRef, Region
from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster, Object, child, labels
from kvoperator.core.manifests.services import ROUTED_PORT

GATEWAY_GROUP = "gateway.networking.k8s.io"


def route(cluster: Cluster, region: Region, weights: Mapping[str, int]) -> Object:
    """`weights`: revision -> percent, not empty; a weight of 0 keeps the back end known to the gateway."""
    backends = [
        _backend(naming.revision_set(cluster.name, region.name, name), weights[name]) for name in sorted(weights)
    ]
    spec = {
        "hostnames": [naming.hostname(cluster.name, cluster.namespace)],
        "parentRefs": [gateway(cluster, region)],
        "rules": [{"backendRefs": backends}],
    }
    name = naming.regional(cluster.name, region.name)
    own_labels = labels(cluster, region.name, "service")
    return child(cluster, f"{GATEWAY_GROUP}/v1/HTTPRoute", name, own_labels, {"spec": spec})


def gateway(cluster: Cluster, region: Region) -> Object:
    """The parentRef: what the region names, by default the Gateway of its own name beside the KVCluster."""
    named = region.gateway or GatewayRef(name=region.name)
    own = {"group": GATEWAY_GROUP, "kind": "Gateway", "name": named.name}
    return own | {"namespace": named.namespace or cluster.namespace}


def _backend(service: str, weight: int) -> Object:
    return {"group": "", "kind": "Service", "name": service, "port": ROUTED_PORT, "weight": weight}

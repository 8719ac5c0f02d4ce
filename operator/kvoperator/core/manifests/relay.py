"""What carries the other regions' changes into this one: one pod a region, of the stable revision's image."""

from kvoperator.api.spec import Region
from kvoperator.api.status import Revision
from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster, Object, child, labels, selector
from kvoperator.core.manifests.deployment import service_container, service_pod
from kvoperator.core.manifests.services import ROUTED_PORT


def relay(cluster: Cluster, region: Region, stable: Revision) -> Object:
    """Never two at once: they would do the same work twice."""
    name, picked = naming.relay(cluster.name, region.name), selector(cluster, region.name, "relay")
    own = labels(cluster, region.name, "relay")
    container = service_container(cluster, region.name, stable) | {"name": "relay", "command": ["kvservice", "relay"]}
    container["env"] = [*container["env"], {"name": "KV_PEERS", "value": _peers(cluster, region.name)}]
    container["ports"] = [port for port in container["ports"] if port["name"] == "admin"]
    template = service_pod(cluster, region, stable, container, own, picked)
    spec = {"replicas": 1, "selector": {"matchLabels": picked}, "strategy": {"type": "Recreate"}, "template": template}
    return child(cluster, "apps/v1/Deployment", name, own, {"spec": spec})


def _peers(cluster: Cluster, region: str) -> str:
    others = sorted(each.name for each in cluster.spec.regions if each.name != region)
    hosts = {each: naming.service_host(naming.regional(cluster.name, each), cluster.namespace) for each in others}
    return ",".join(f"{each}=http://{host}:{ROUTED_PORT}" for each, host in hosts.items())

"""Stable addresses: a Service for each revision (the route's back end), for all pods of a region, and for its cache."""

from kvoperator.api.status import Revision
from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster, Object, child, labels, selector

ROUTED_PORT = 80


def revision_service(cluster: Cluster, region: str, revision: Revision) -> Object:
    port = {"name": "data", "port": ROUTED_PORT, "targetPort": "data", "protocol": "TCP"}
    spec = {"selector": selector(cluster, region, "service", revision.name), "ports": [port]}
    name = naming.revision_set(cluster.name, region, revision.name)
    return child(cluster, "v1/Service", name, labels(cluster, region, "service", revision.name), {"spec": spec})


def region_service(cluster: Cluster, region: str) -> Object:
    """Every service pod of the region, whatever its revision: where the relays of other regions read the changes."""
    port = {"name": "data", "port": ROUTED_PORT, "targetPort": "data", "protocol": "TCP"}
    spec = {"selector": selector(cluster, region, "service"), "ports": [port]}
    name = naming.regional(cluster.name, region)
    return child(cluster, "v1/Service", name, labels(cluster, region, "service"), {"spec": spec})


def cache_service(cluster: Cluster, region: str) -> Object:
    """Headless: it gives each shard its name."""
    port = {"name": "cache", "port": naming.CACHE_PORT, "targetPort": "cache", "protocol": "TCP"}
    spec = {"clusterIP": "None", "selector": selector(cluster, region, "cache"), "ports": [port]}
    name = naming.cache(cluster.name, region)
    return child(cluster, "v1/Service", name, labels(cluster, region, "cache"), {"spec": spec})

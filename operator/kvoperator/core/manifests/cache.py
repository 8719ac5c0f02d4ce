"""The region's cache: Valkeys or Redises that know nothing of each other and keep nothing on disk.

Clients choose the shard of a key, so each pod of the StatefulSet is a shard with a name of its own. Losing one costs
misses, never data.
"""

from kvoperator.api.spec import Region
from kvoperator.api.units import byte_count
from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster, Object, child, labels, selector
from kvoperator.core.manifests.pods import downward, placement, restricted_container, restricted_pod
from kvoperator.core.manifests.volume import canonical


def cache(cluster: Cluster, region: Region, shards: int) -> Object:
    pod_labels = selector(cluster, region.name, "cache")
    own_labels = labels(cluster, region.name, "cache")
    pod = {"containers": [_container(cluster)], "volumes": [{"name": "tmp", "emptyDir": {}}]}
    template = {"metadata": {"labels": own_labels}, "spec": pod | restricted_pod() | placement(region, pod_labels)}
    name = naming.cache(cluster.name, region.name)
    spec = {"replicas": shards, "serviceName": name, "selector": {"matchLabels": pod_labels}, "template": template}
    spec |= {"podManagementPolicy": "Parallel"}
    return child(cluster, "apps/v1/StatefulSet", name, own_labels, {"spec": spec})


def shard_hosts(cluster: Cluster, region: str, shards: int) -> list[str]:
    """What each shard is reached by, in the order that all pods of the region must agree on."""
    name = naming.cache(cluster.name, region)
    return [naming.pod_host(name, number, cluster.namespace) for number in range(shards)]


def _container(cluster: Cluster) -> Object:
    image, memory = cluster.spec.cache.image, byte_count(cluster.spec.cache.memory)
    probe = {"tcpSocket": {"port": naming.CACHE_PORT}, "periodSeconds": 2, "timeoutSeconds": 2}
    return restricted_container() | {
        "name": "cache",
        "image": image,
        "command": _command(image, memory),
        "env": [downward("POD_IP", "status.podIP")],
        "ports": [{"name": "cache", "containerPort": naming.CACHE_PORT, "protocol": "TCP"}],
        "readinessProbe": probe,
        "livenessProbe": probe | {"periodSeconds": 5, "failureThreshold": 6},
        # Values are not all: a quarter more for keys, fragments and clients' buffers.
        "resources": {"requests": {"cpu": "100m", "memory": canonical(f"{memory * 5 // 4 // 2**20 + 16}Mi")}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _command(image: str, memory: int) -> list[str]:
    """Without `protected-mode no` the server refuses every client that is not on its own machine."""
    program = "redis-server" if "redis" in image.rsplit("/", 1)[-1] else "valkey-server"
    where = ["--bind", "$(POD_IP)", "--port", str(naming.CACHE_PORT), "--protected-mode", "no"]
    keeps_nothing = ["--save", "", "--appendonly", "no"]
    return [program, *where, *keeps_nothing, "--maxmemory", str(memory), "--maxmemory-policy", "allkeys-lru"]

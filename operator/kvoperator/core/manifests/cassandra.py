"""The region's Cassandra nodes: one datacenter a region, one rack, data on a volume each.

One rack, because a pod cannot ask for its zone before it runs, and racks of unequal size would put most copies on few
nodes. Pods are spread over zones all the same. All nodes start at once; the first ones of every region are the seeds,
so they join without waiting for each other, and the few that are no seeds join one after the other, by being restarted
until it is their turn.
"""

from kvoperator.api.spec import Cassandra, DeletionPolicy, Region
from kvoperator.api.units import byte_count
from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster, Object, child, labels, selector
from kvoperator.core.manifests.pods import HOST, downward, placement, restricted_container, restricted_pod, spread
from kvoperator.core.manifests.storage import seeds
from kvoperator.core.manifests.volume import canonical

STORAGE_PORT = 7000
_FOLDER = "/var/lib/cassandra"
_USER = 999  # `cassandra` of the official image

# In cassandra.yaml it is `periodic`, which acknowledges what a kill then takes away. The official image has no variable
# for it, but the configuration may come as system properties.
_OPTIONS = (
    "-Dcassandra.config.allow_system_properties=true"
    " -Dcassandra.settings.commitlog_sync=batch -Dcassandra.settings.commitlog_sync_period=0ms"
    " -Dcassandra.settings.storage_compatibility_mode=NONE"
    f" -Dcassandra.storagedir={_FOLDER}"
)


def cassandra(cluster: Cluster, region: Region, wanted: Cassandra) -> list[Object]:
    """StatefulSet, headless Service and PodDisruptionBudget."""
    name = naming.cassandra(cluster.name, region.name)
    own, picked = labels(cluster, region.name, "cassandra"), selector(cluster, region.name, "cassandra")
    ports = [
        _port("cql", naming.CQL_PORT) | {"targetPort": "cql"},
        _port("storage", STORAGE_PORT) | {"targetPort": "storage"},
    ]
    # Nodes must find their seeds before any of them is ready.
    service = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": picked, "ports": ports}
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": picked}}
    return [
        child(cluster, "v1/Service", name, own, {"spec": service}),
        child(cluster, "apps/v1/StatefulSet", name, own, {"spec": _set(cluster, region, wanted)}),
        child(cluster, "policy/v1/PodDisruptionBudget", name, own, {"spec": budget}),
    ]


def _set(cluster: Cluster, region: Region, wanted: Cassandra) -> Object:
    picked = selector(cluster, region.name, "cassandra")
    with_cluster = "Delete" if cluster.spec.deletion_policy is DeletionPolicy.DELETE else "Retain"
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": canonical(wanted.size)}}}
    where = placement(region, picked)
    where["topologySpreadConstraints"] = [*where["topologySpreadConstraints"], spread(HOST, picked)]
    security = restricted_pod()
    user = {"runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER}
    security["securityContext"] = security["securityContext"] | user
    pod = {"containers": [_container(cluster, region.name, wanted)], "terminationGracePeriodSeconds": 120}
    return {
        "replicas": wanted.nodes_per_region,
        "serviceName": naming.cassandra(cluster.name, region.name),
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": picked},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": with_cluster, "whenScaled": "Retain"},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        "template": {"metadata": {"labels": labels(cluster, region.name, "cassandra")}, "spec": pod | security | where},
    }


def _container(cluster: Cluster, region: str, wanted: Cassandra) -> Object:
    contained = restricted_container()
    # The official image writes its settings into its own files at each start.
    contained["securityContext"] = contained["securityContext"] | {"readOnlyRootFilesystem": False}
    probe = {"tcpSocket": {"port": naming.CQL_PORT}, "periodSeconds": 5, "timeoutSeconds": 5}
    return contained | {
        "name": "cassandra",
        "image": wanted.image,
        "command": ["docker-entrypoint.sh", "cassandra", "-f"],
        "env": _environment(cluster, region, byte_count(wanted.memory)),
        "ports": [
            {"name": n, "containerPort": p, "protocol": "TCP"}
            for n, p in (("cql", naming.CQL_PORT), ("storage", STORAGE_PORT))
        ],
        "startupProbe": probe | {"failureThreshold": 720},  # an hour, for the log of writes to be read or data to come
        "readinessProbe": probe,
        "livenessProbe": probe | {"periodSeconds": 10, "failureThreshold": 6},
        "resources": {"requests": {"cpu": "500m", "memory": canonical(wanted.memory)}},
        "volumeMounts": [{"name": "data", "mountPath": _FOLDER}],
    }


def _environment(cluster: Cluster, region: str, memory: int) -> list[Object]:
    addresses = ("LISTEN_ADDRESS", "BROADCAST_ADDRESS", "RPC_ADDRESS", "BROADCAST_RPC_ADDRESS")
    heap = memory // 2 // 2**20
    fixed = {
        "CASSANDRA_CLUSTER_NAME": f"{cluster.namespace}-{cluster.name}",
        "CASSANDRA_SEEDS": ",".join(
            seed for each in sorted(r.name for r in cluster.spec.regions) for seed in seeds(cluster, each)
        ),
        "CASSANDRA_ENDPOINT_SNITCH": "GossipingPropertyFileSnitch",
        "CASSANDRA_DC": region,
        "CASSANDRA_RACK": "rack1",
        "MAX_HEAP_SIZE": f"{heap}M",
        "HEAP_NEWSIZE": f"{heap // 4}M",
        "JVM_EXTRA_OPTS": _OPTIONS,
    }
    own = [downward(f"CASSANDRA_{name}", "status.podIP") for name in addresses]
    return [*own, *({"name": name, "value": value} for name, value in fixed.items())]


def _port(name: str, number: int) -> Object:
    return {"name": name, "port": number, "protocol": "TCP"}

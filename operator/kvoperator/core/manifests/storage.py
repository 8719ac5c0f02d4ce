"""Where a region's records are, for whoever reads or writes them: service pods, the relay, the migration."""

from kvoperator.api.spec import KVClusterSpec
from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster

SEEDS = 3  # nodes of a region by which the others, and clients, find them all


def addresses(cluster: Cluster, region: str) -> dict[str, str]:
    """The settings that say where the region's Cassandra is; none for the embedded store, which is a file."""
    storage = cluster.spec.storage
    if storage.cassandra:
        return {"KV_CASSANDRA_POINTS": ",".join(seeds(cluster, region)), "KV_CASSANDRA_DATACENTER": region}
    if storage.external:
        points = ",".join(storage.external.contact_points[region])
        return {"KV_CASSANDRA_POINTS": points, "KV_CASSANDRA_DATACENTER": datacenter(cluster.spec, region)}
    return {}


def seeds(cluster: Cluster, region: str) -> list[str]:
    """Hosts of the first nodes of a region with Cassandra nodes of its own."""
    nodes = cluster.spec.storage.cassandra.nodes_per_region if cluster.spec.storage.cassandra else 0
    name = naming.cassandra(cluster.name, region)
    return [naming.pod_host(name, number, cluster.namespace) for number in range(min(SEEDS, nodes))]


def replication(spec: KVClusterSpec) -> str:
    """Copies for each datacenter, as `kvservice migrate` takes them."""
    known = spec.storage.cassandra or spec.storage.external
    copies = known.replication_factor if known else 0
    return ",".join(f"{name}={copies}" for name in sorted(datacenter(spec, region.name) for region in spec.regions))


def datacenter(spec: KVClusterSpec, region: str) -> str:
    return spec.storage.external.datacenters.get(region, region) if spec.storage.external else region

"""The pods' settings: what the revision fixes, and what differs between regions."""

from kvoperator.api.status import Revision
from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster, Object, child, labels
from kvoperator.core.manifests.cache import shard_hosts
from kvoperator.core.manifests.storage import addresses


def config(cluster: Cluster, region: str, revision: Revision) -> Object:
    name = naming.revision_set(cluster.name, region, revision.name)
    own_labels = labels(cluster, region, "service", revision.name)
    data = revision.config | _regional(cluster, region, revision)
    return child(cluster, "v1/ConfigMap", name, own_labels, {"data": data})


def _regional(cluster: Cluster, region: str, revision: Revision) -> dict[str, str]:
    shards = shard_hosts(cluster, region, revision.cache_shards)
    return {
        "KV_PORT": str(naming.DATA_PORT),
        "KV_ADMIN_PORT": str(naming.ADMIN_PORT),
        "KV_REGION": region,
        "KV_REVISION": revision.name,
        "KV_CACHE_URLS": ",".join(f"redis://{host}:{naming.CACHE_PORT}" for host in shards),
        **addresses(cluster, region),
    }

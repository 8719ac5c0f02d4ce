"""The pods' settings: what the revision fixes, and what differs between regions."""

from kvoperator.api.status import Revision
from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster, Object, child, labels
from kvoperator.core.manifests.deployment import STORE_FOLDER


def config(cluster: Cluster, region: str, revision: Revision) -> Object:
    name = naming.revision_set(cluster.name, region, revision.name)
    own_labels = labels(cluster, region, "service", revision.name)
    data = revision.config | _regional(cluster, region, revision.name)
    return child(cluster, "v1/ConfigMap", name, own_labels, {"data": data})


def _regional(cluster: Cluster, region: str, revision: str) -> dict[str, str]:
    cache = f"{naming.cache(cluster.name, region)}.{cluster.namespace}.svc:{naming.CACHE_PORT}"
    return {
        "KV_PORT": str(naming.DATA_PORT),
        "KV_ADMIN_PORT": str(naming.ADMIN_PORT),
        "KV_REGION": region,
        "KV_REVISION": revision,
        "KV_STORE_PATH": f"{STORE_FOLDER}/store.db",
        "KV_CACHE_URL": f"redis://{cache}",
    }

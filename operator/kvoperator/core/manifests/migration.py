"""The Job that brings Cassandra's schema to what an image needs.

Pods never make the schema: without it they end, and start again until it is there.

Named by a hash of all that it runs, so that another image or another replication is another Job, which runs once.
"""

import hashlib
import json

from kvoperator.api.status import Revision
from kvoperator.core import naming
from kvoperator.core.manifests import credentials
from kvoperator.core.manifests.base import Cluster, Object, child, labels, selector
from kvoperator.core.manifests.pods import placement, restricted_container, restricted_pod
from kvoperator.core.manifests.storage import addresses, replication

_TRIES = 100  # the nodes may take a while; the pauses between tries grow to minutes


def migration(cluster: Cluster, revision: Revision) -> Object | None:
    """None for the embedded store, which needs none."""
    region = min(cluster.spec.regions, key=lambda each: each.name)
    if not (found := addresses(cluster, region.name)):
        return None
    own = labels(cluster, None, "migration")
    settings = (
        revision.config | found | {"KV_REGION": region.name, "KV_CASSANDRA_REPLICATION": replication(cluster.spec)}
    )
    env = [
        {"name": name, "value": settings[name]}
        for name in sorted(settings)
        if name.startswith(("KV_CASSANDRA", "KV_REGION"))
    ]
    container = restricted_container() | {
        "name": "migrate",
        "image": revision.image,
        "command": ["kvservice", "migrate"],
        "env": [*env, *credentials.passwords(revision)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *credentials.mounts(revision)],  # noqa: S108
    }
    volumes = [{"name": "tmp", "emptyDir": {}}, *credentials.volumes(revision)]
    pod = {"containers": [container], "restartPolicy": "OnFailure", "volumes": volumes}
    pod |= restricted_pod() | placement(region, selector(cluster, region.name, "migration"))
    digest = hashlib.sha256(json.dumps(pod, sort_keys=True).encode()).hexdigest()[:10]
    spec = {"backoffLimit": _TRIES, "template": {"metadata": {"labels": own}, "spec": pod}}
    return child(cluster, "batch/v1/Job", naming.migration(cluster.name, digest), own, {"spec": spec})

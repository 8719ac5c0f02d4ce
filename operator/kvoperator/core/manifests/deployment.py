"""The pods of one revision in one region."""

from kvoperator.api.spec import Region
from kvoperator.api.status import Revision
from kvoperator.core import naming
from kvoperator.core.manifests import credentials
from kvoperator.core.manifests.base import Cluster, Object, child, labels, selector
from kvoperator.core.manifests.pods import downward, placement, restricted_container, restricted_pod
from kvoperator.core.revision import STORE_FOLDER

Labels = dict[str, str]


def deployment(cluster: Cluster, region: Region, revision: Revision, replicas: int) -> Object:
    """Its template never changes in a revision's life but for the region's zones; then pods move one by one."""
    pod_labels = selector(cluster, region.name, "service", revision.name)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    spec = {"replicas": replicas, "selector": {"matchLabels": pod_labels}, "strategy": strategy}
    name = naming.revision_set(cluster.name, region.name, revision.name)
    own_labels = labels(cluster, region.name, "service", revision.name)
    container = service_container(cluster, region.name, revision)
    template = service_pod(cluster, region, revision, container, own_labels, pod_labels)
    return child(cluster, "apps/v1/Deployment", name, own_labels, {"spec": spec | {"template": template}})


def service_pod(
    cluster: Cluster, region: Region, revision: Revision, container: Object, own_labels: Labels, spread_by: Labels
) -> Object:
    """Template of a pod that runs the service's image beside the region's store and cache."""
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(naming.ADMIN_PORT)}
    claim = {"claimName": naming.data(cluster.name, region.name)}
    data = [{"name": "data", "persistentVolumeClaim": claim}] if _is_embedded(revision) else []
    spec = {
        "containers": [container],
        "terminationGracePeriodSeconds": 30,
        "volumes": [{"name": "tmp", "emptyDir": {}}, *data, *credentials.volumes(revision)],
    }
    pod = spec | restricted_pod() | placement(region, spread_by)
    return {"metadata": {"labels": own_labels, "annotations": scraped}, "spec": pod}


def service_container(cluster: Cluster, region: str, revision: Revision) -> Object:
    config = {"configMapRef": {"name": naming.revision_set(cluster.name, region, revision.name)}}
    ports = [("data", naming.DATA_PORT), ("admin", naming.ADMIN_PORT)]
    own = [downward("KV_BIND", "status.podIP"), downward("KV_POD", "metadata.name")]
    data = [{"name": "data", "mountPath": STORE_FOLDER}] if _is_embedded(revision) else []
    return restricted_container() | {
        "name": "service",
        "image": revision.image,
        "command": ["kvservice", "serve"],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports],
        "envFrom": [config, credentials.from_tokens(cluster)],
        "env": [*own, *credentials.passwords(revision)],
        "readinessProbe": _probe("/readyz", failures=2) | {"periodSeconds": 2},
        "livenessProbe": _probe("/healthz", failures=6) | {"periodSeconds": 5, "initialDelaySeconds": 10},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *data, *credentials.mounts(revision)],  # noqa: S108
    }


def _is_embedded(revision: Revision) -> bool:
    return "KV_STORE_PATH" in revision.config


def _probe(path: str, failures: int) -> Object:
    return {"httpGet": {"path": path, "port": naming.ADMIN_PORT}, "timeoutSeconds": 2, "failureThreshold": failures}

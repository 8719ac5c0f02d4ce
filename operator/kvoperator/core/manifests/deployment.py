"""The pods of one revision in one region."""

from kvoperator.api.spec import Region
from kvoperator.api.status import Revision
from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster, Object, child, labels, selector
from kvoperator.core.manifests.pods import downward, placement, restricted_container, restricted_pod

STORE_FOLDER = "/var/lib/kv"


def deployment(cluster: Cluster, region: Region, revision: Revision, replicas: int) -> Object:
    """Its template never changes in a revision's life but for the region's zones; then pods move one by one."""
    pod_labels = selector(cluster, region.name, "service", revision.name)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    spec = {"replicas": replicas, "selector": {"matchLabels": pod_labels}, "strategy": strategy}
    name = naming.revision_set(cluster.name, region.name, revision.name)
    template = _template(cluster, region, revision)
    own_labels = labels(cluster, region.name, "service", revision.name)
    return child(cluster, "apps/v1/Deployment", name, own_labels, {"spec": spec | {"template": template}})


def _template(cluster: Cluster, region: Region, revision: Revision) -> Object:
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(naming.ADMIN_PORT)}
    pod_labels = labels(cluster, region.name, "service", revision.name)
    claim = {"claimName": naming.data(cluster.name, region.name)}
    spec = {
        "containers": [_container(naming.revision_set(cluster.name, region.name, revision.name), revision)],
        "terminationGracePeriodSeconds": 30,
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "data", "persistentVolumeClaim": claim}],
    }
    pod = spec | restricted_pod() | placement(region, selector(cluster, region.name, "service", revision.name))
    return {"metadata": {"labels": pod_labels, "annotations": scraped}, "spec": pod}


def _container(config: str, revision: Revision) -> Object:
    ports = [("data", naming.DATA_PORT), ("admin", naming.ADMIN_PORT)]
    return restricted_container() | {
        "name": "service",
        "image": revision.image,
        "command": ["kvservice", "serve"],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports],
        "envFrom": [{"configMapRef": {"name": config}}],
        "env": [downward("KV_BIND", "status.podIP"), downward("KV_POD", "metadata.name")],
        "readinessProbe": _probe("/readyz", failures=2) | {"periodSeconds": 2},
        "livenessProbe": _probe("/healthz", failures=6) | {"periodSeconds": 5, "initialDelaySeconds": 10},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "data", "mountPath": STORE_FOLDER}],  # noqa: S108
    }


def _probe(path: str, failures: int) -> Object:
    return {"httpGet": {"path": path, "port": naming.ADMIN_PORT}, "timeoutSeconds": 2, "failureThreshold": failures}

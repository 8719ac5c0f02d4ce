"""Spec, region and revision -> the Kubernetes objects that are wanted. One file per concern; `region` gathers them."""

from collections.abc import Mapping

from kvoperator.api.spec import Region
from kvoperator.api.status import Revision
from kvoperator.core.manifests.base import Cluster, Object, hashed
from kvoperator.core.manifests.cache import cache
from kvoperator.core.manifests.config import config
from kvoperator.core.manifests.deployment import deployment
from kvoperator.core.manifests.disruption import disruption
from kvoperator.core.manifests.route import gateway, route
from kvoperator.core.manifests.services import cache_service, revision_service
from kvoperator.core.manifests.volume import volume
from kvoperator.core.rollout.model import RegionPlan

__all__ = ["Cluster", "Object", "gateway", "region"]


def region(cluster: Cluster, wanted: Region, plan: RegionPlan, revisions: Mapping[str, Revision]) -> list[Object]:
    """All objects of a region. A revision of the plan that `revisions` does not know is routed, but not built."""
    standing = [cache_service(cluster, wanted.name), cache(cluster, wanted), volume(cluster, wanted.name)]
    sets = [
        manifest
        for name, replicas in plan.replicas.items()
        if name in revisions
        for manifest in _revision(cluster, wanted, revisions[name], replicas)
    ]
    routes = [route(cluster, wanted, plan.weights)] if plan.weights else []
    return [hashed(manifest) for manifest in (*standing, disruption(cluster, wanted.name), *sets, *routes)]


def _revision(cluster: Cluster, wanted: Region, revision: Revision, replicas: int) -> list[Object]:
    return [
        config(cluster, wanted.name, revision),
        revision_service(cluster, wanted.name, revision),
        deployment(cluster, wanted, revision, replicas),
    ]

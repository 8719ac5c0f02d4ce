"""Spec, region and revision -> the Kubernetes objects that are wanted. One file per concern; `region` gathers them."""

from collections.abc import Mapping

from kvoperator.api.spec import Region
from kvoperator.api.status import Revision
from kvoperator.core.manifests.base import Cluster, Object, hashed
from kvoperator.core.manifests.cache import cache
from kvoperator.core.manifests.cassandra import cassandra
from kvoperator.core.manifests.config import config
from kvoperator.core.manifests.credentials import tokens
from kvoperator.core.manifests.deployment import deployment
from kvoperator.core.manifests.disruption import disruption
from kvoperator.core.manifests.migration import migration
from kvoperator.core.manifests.relay import relay
from kvoperator.core.manifests.route import gateway, route
from kvoperator.core.manifests.services import cache_service, region_service, revision_service
from kvoperator.core.manifests.volume import volume
from kvoperator.core.rollout.model import RegionPlan

__all__ = ["Cluster", "Object", "gateway", "migrations", "region", "tokens"]


def region(cluster: Cluster, wanted: Region, plan: RegionPlan, revisions: Mapping[str, Revision]) -> list[Object]:
    """All objects of a region. `revisions`: the stable one first; one of the plan that is not among them is routed, but
    not built."""
    built = {name: replicas for name, replicas in plan.replicas.items() if name in revisions}
    sets = [each for name, replicas in built.items() for each in _revision(cluster, wanted, revisions[name], replicas)]
    relays = [relay(cluster, wanted, next(iter(revisions.values())))] if built and len(cluster.spec.regions) > 1 else []
    routes = [route(cluster, wanted, plan.weights)] if plan.weights else []
    standing = _standing(cluster, wanted, [revisions[name] for name in built])
    return [hashed(manifest) for manifest in (*standing, *sets, *relays, *routes)]


def migrations(cluster: Cluster, revisions: Mapping[str, Revision]) -> list[Object]:
    """The Jobs that the schema needs, of the stable revision first: the last one is to be run, the others may stay."""
    found = (migration(cluster, revision) for revision in revisions.values())
    return [hashed(manifest) for manifest in found if manifest]


def _standing(cluster: Cluster, wanted: Region, revisions: list[Revision]) -> list[Object]:
    """What is there whatever revisions come and go. While they differ about the shards, the cache has all of them."""
    storage = cluster.spec.storage
    shards = max((revision.cache_shards for revision in revisions), default=cluster.spec.cache.shards)
    return [
        region_service(cluster, wanted.name),
        disruption(cluster, wanted.name),
        cache_service(cluster, wanted.name),
        cache(cluster, wanted, shards),
        *([volume(cluster, wanted.name, storage.embedded)] if storage.embedded else []),
        *(cassandra(cluster, wanted, storage.cassandra) if storage.cassandra else []),
    ]


def _revision(cluster: Cluster, wanted: Region, revision: Revision, replicas: int) -> list[Object]:
    return [
        config(cluster, wanted.name, revision),
        revision_service(cluster, wanted.name, revision),
        deployment(cluster, wanted, revision, replicas),
    ]

"""Makes the regions what the plan says, in an order in which a crash between any two writes harms nobody.

In each region: what pods need, then more pods, then the route, and fewer pods only once the gateway has confirmed the
weights that are planned. Each write stands alone: one that is refused is reported, and does not hold up the others,
least of all the route, by which a bad canary loses its traffic. Every write's answer goes into the mirror at once.
"""

import asyncio
from collections.abc import Awaitable, Mapping

import structlog

from kvoperator.api.status import Revision
from kvoperator.core import manifests, naming
from kvoperator.core.drift import drift
from kvoperator.core.manifests import Cluster, Object
from kvoperator.core.rollout.model import RegionPlan
from kvoperator.errors import ApiError, ConflictError
from kvoperator.ports import CHILDREN, KubeApi
from kvoperator.reconcile.mirror import Mirror, Ref, ref
from kvoperator.reconcile.observe import confirmed, label

_SCALED = ("Deployment", "StatefulSet")
_NEVER_PRUNED = ("PersistentVolumeClaim",)  # data goes with its owner, if it has one, and with nothing else
_log = structlog.get_logger()


class Act:
    """The writes of one pass about one KVCluster. `revisions`: those whose pods can be described, by name."""

    def __init__(self, kube: KubeApi, mirror: Mirror, cluster: Cluster, revisions: Mapping[str, Revision]) -> None:
        self._kube, self._mirror, self._cluster, self._revisions = kube, mirror, cluster, revisions
        self._errors: list[ApiError] = []
        self._log = _log.bind(namespace=cluster.namespace, cluster=cluster.name)

    async def carry_out(self, plans: Mapping[str, RegionPlan]) -> list[ApiError]:
        """What could not be done; empty if all is as planned, or waits for the gateway."""
        await self._migrate()
        await asyncio.gather(*(self._region(name, plan) for name, plan in plans.items()))
        await self._prune_regions(set(plans))
        return self._errors

    async def _migrate(self) -> None:
        """The Job of the newest revision; that of the stable one stays, so that going back runs nothing."""
        jobs = manifests.migrations(self._cluster, self._revisions)
        for job in jobs[-1:]:
            await self._apply(job)
        kept = {job["metadata"]["name"] for job in jobs}
        for child in self._owned():
            if child["kind"] == "Job" and child["metadata"]["name"] not in kept:
                await self._delete(child)

    async def _region(self, name: str, plan: RegionPlan) -> None:
        region = next(region for region in self._cluster.spec.regions if region.name == name)
        wanted = manifests.region(self._cluster, region, plan, self._revisions)
        for manifest in sorted((one for one in wanted if not self._shrinks(one)), key=_rank):
            await self._apply(manifest)
        route = self._mirror.get(("HTTPRoute", self._cluster.namespace, naming.regional(self._cluster.name, name)))
        if confirmed(self._cluster, region, route) != (plan.weights or None):
            return
        for manifest in filter(self._shrinks, wanted):
            await self._apply(manifest)
        await self._prune_region(name, plan, {ref(one) for one in wanted})

    def _shrinks(self, wanted: Object) -> bool:
        observed = self._mirror.get(ref(wanted))
        asked = observed["spec"].get("replicas", 1) if observed and wanted["kind"] in _SCALED else 0
        return bool(asked > wanted["spec"]["replicas"]) if asked else False

    async def _prune_region(self, region: str, plan: RegionPlan, wanted: set[Ref]) -> None:
        """Revisions that are not in the plan, and the relay when there is no other region left to hear from."""
        kept = {"", *plan.replicas, *plan.weights}
        for child in self._owned():
            is_idle = label(child, naming.COMPONENT_LABEL) == "relay" and ref(child) not in wanted
            is_mine = label(child, naming.REGION_LABEL) == region
            if is_mine and (is_idle or label(child, naming.REVISION_LABEL) not in kept):
                await self._delete(child)

    async def _prune_regions(self, kept: set[str]) -> None:
        for child in self._owned():
            if child["kind"] != "Job" and label(child, naming.REGION_LABEL) not in kept:
                await self._delete(child)

    def _owned(self) -> list[Object]:
        """The children that are this very KVCluster's, traffic first: a copy that a person made is left alone."""
        order = {kind.name: rank for rank, kind in enumerate(CHILDREN) if kind.name not in _NEVER_PRUNED}
        children = self._mirror.children((self._cluster.namespace, self._cluster.name))
        own = [child for child in children if child["kind"] in order and self._is_owner_of(child)]
        return sorted(own, key=lambda child: order[child["kind"]])

    def _is_owner_of(self, child: Object) -> bool:
        owners = child["metadata"].get("ownerReferences", [])
        return "deletionTimestamp" not in child["metadata"] and any(one["uid"] == self._cluster.uid for one in owners)

    async def _apply(self, wanted: Object) -> None:
        why = drift(wanted, self._mirror.get(ref(wanted)))
        if why and await self._done(self._write(wanted)):
            self._log.info("applied", kind=wanted["kind"], name=wanted["metadata"]["name"], drift=why)

    async def _write(self, wanted: Object) -> None:
        try:
            answer = await self._kube.apply(wanted)
        except ConflictError as conflict:
            # A field that a person changed is theirs from then on, so only force takes it back. Whoever *applies* a
            # field, or a controller such as an autoscaler, claims it for good: that is for people to settle.
            if not conflict.by_hand:
                raise
            self._log.warning("hand_edit_undone", fields=conflict.fields, managers=conflict.managers)
            answer = await self._kube.apply(wanted, force=True)
        self._mirror.put(answer)

    async def _delete(self, child: Object) -> None:
        if await self._done(self._kube.delete(child)):
            self._mirror.drop(child)
            self._log.info("deleted", kind=child["kind"], name=child["metadata"]["name"])

    async def _done(self, write: Awaitable[None]) -> bool:
        try:
            await write
        except ApiError as error:
            self._errors.append(error)
            return False
        return True


def _rank(wanted: Object) -> int:
    return {"Deployment": 1, "HTTPRoute": 2}.get(wanted["kind"], 0)

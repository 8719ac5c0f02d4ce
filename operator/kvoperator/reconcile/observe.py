"""The mirror's objects -> RegionFacts: which revisions have which pods, and which weights the gateway has confirmed."""

from collections.abc import Iterable

from kvoperator.api.spec import Region
from kvoperator.core import naming
from kvoperator.core.judge import Samples
from kvoperator.core.manifests import Cluster, Object, gateway
from kvoperator.core.rollout.model import RegionFacts, RevisionFacts

_TAKEN_IN = ("Accepted", "ResolvedRefs")

Scraped = Samples | None  # pods that Prometheus has; None: it was not asked, or did not say


def observe(cluster: Cluster, children: Iterable[Object], scraped: Scraped) -> dict[str, RegionFacts]:
    objects = list(children)
    return {region.name: _region(cluster, region, objects, scraped) for region in cluster.spec.regions}


def _region(cluster: Cluster, region: Region, children: list[Object], scraped: Scraped) -> RegionFacts:
    mine = [child for child in children if label(child, naming.REGION_LABEL) == region.name]
    deployments = {child["metadata"]["name"]: child for child in mine if child["kind"] == "Deployment"}
    deployments.pop(naming.relay(cluster.name, region.name), None)
    sets = {label(child, naming.REVISION_LABEL): child for child in deployments.values()}
    store = _storage_problem(cluster, region, children)
    count = {name: None if scraped is None else int(scraped.get((region.name, name), 0)) for name in sets}
    revisions = {name: pods(seen, count[name], store) for name, seen in sets.items()}
    route = next((child for child in mine if child["kind"] == "HTTPRoute"), None)
    return RegionFacts(revisions=revisions, weights=confirmed(cluster, region, route))


def pods(deployment: Object, scraped: int | None, store: str = "") -> RevisionFacts:
    """`store`: what the pods may be waiting for."""
    asked, status = deployment["spec"].get("replicas", 1), deployment.get("status", {})
    ready = status.get("readyReplicas", 0)
    why = "; ".join(filter(None, (store, problem(deployment)))) if ready < asked else ""
    return RevisionFacts(replicas=asked, ready=ready, scraped=scraped, problem=why)


def _storage_problem(cluster: Cluster, region: Region, children: list[Object]) -> str:
    """Why the region's Cassandra cannot be used yet; empty if it can, or is none of ours."""
    names = {child["metadata"]["name"]: child for child in children if child["kind"] in ("StatefulSet", "Job")}
    nodes = names.get(naming.cassandra(cluster.name, region.name))
    ready = nodes.get("status", {}).get("readyReplicas", 0) if nodes else 0
    if nodes and ready < nodes["spec"]["replicas"]:
        return f"Cassandra: {ready} of {nodes['spec']['replicas']} nodes ready"
    jobs = (name for name, child in names.items() if child["kind"] == "Job" and not _has_succeeded(child))
    return next((f"Job {name} has not made the schema yet" for name in jobs), "")


def _has_succeeded(job: Object) -> bool:
    return bool(job.get("status", {}).get("succeeded"))


def problem(deployment: Object) -> str:
    """What the Deployment's own conditions say of pods that cannot be made or do not come up; empty if nothing."""
    conditions = {condition["type"]: condition for condition in deployment.get("status", {}).get("conditions", [])}
    signs = [conditions.get("ReplicaFailure", {}), conditions.get("Progressing", {})]
    bad = [sign for sign, status in zip(signs, ("True", "False"), strict=True) if sign.get("status") == status]
    return "; ".join(f"{sign.get('reason')}: {sign.get('message')}" for sign in bad)


def confirmed(cluster: Cluster, region: Region, route: Object | None) -> dict[str, int] | None:
    """Revision -> weight, if the gateway says that it has taken in this very version of the route; else None."""
    if route is None or not _accepted(cluster, region, route):
        return None
    prefix = naming.revision_set(cluster.name, region.name, "")
    backends = [backend for rule in route["spec"].get("rules", []) for backend in rule.get("backendRefs", [])]
    return {backend["name"].removeprefix(prefix): backend.get("weight", 1) for backend in backends}


def _accepted(cluster: Cluster, region: Region, route: Object) -> bool:
    generation, wanted = route["metadata"].get("generation"), gateway(cluster, region)
    parents = [
        parent
        for parent in route.get("status", {}).get("parents", [])
        if wanted.items() <= ({"namespace": cluster.namespace} | parent["parentRef"]).items()
    ]
    # Accepted: the weights are in effect. ResolvedRefs: and none of them leads nowhere.
    said = [one for parent in parents for one in parent.get("conditions", []) if one["type"] in _TAKEN_IN]
    current = all(one["status"] == "True" and one.get("observedGeneration") == generation for one in said)
    return current and any(one["type"] == "Accepted" for one in said)


def label(observed: Object, name: str) -> str:
    value: str = (observed["metadata"].get("labels") or {}).get(name, "")
    return value

"""The operator's shell against a real API server: what it takes, what it answers, what it need not be told twice."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kvdev.client import Api
from kvdev.state import ClusterState
from kvoperator.adapters.kubernetes import Kubernetes
from kvoperator.core import manifests, naming
from kvoperator.core.drift import drift
from kvoperator.core.manifests import Cluster
from kvoperator.core.revision import revision
from kvoperator.core.rollout.model import Event, RegionPlan
from kvoperator.errors import ConflictError, RefusedError, StaleError
from kvoperator.ports import KINDS, KVCLUSTER
from kvoperator.reconcile.cluster import Reconciler
from kvoperator.reconcile.mirror import Mirror

pytestmark = pytest.mark.real
Object = dict[str, Any]
REGION = {"name": "eu-west", "zones": ["a", "b"], "replicas": 2}


class Time:
    """A clock that goes a second further each time it is looked at."""

    def __init__(self) -> None:
        self._now = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


class Silence:
    async def query(self, promql: str) -> str:
        return "nobody asked Prometheus in this test"


@pytest.fixture
async def kube(control_plane: ClusterState, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kubernetes]:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    kube = Kubernetes()
    yield kube
    await kube.close()


@pytest.fixture
async def namespace(api: Api) -> str:
    """A fresh one, in which only restricted pods are let in."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": name, "labels": labels}
    await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, manager="test")
    return name


@pytest.fixture
async def shop(api: Api, namespace: str) -> Object:
    """A KVCluster as a user applied it."""
    spec = {"release": {"image": "kvservice:1"}, "regions": [REGION], "storage": {"embedded": {"size": "1024Mi"}}}
    metadata = {"name": "shop", "namespace": namespace}
    wanted = {"apiVersion": KVCLUSTER.api_version, "kind": KVCLUSTER.name, "metadata": metadata, "spec": spec}
    return await api.apply(wanted, manager="kubectl")


@pytest.fixture(
    params=[{"embedded": {"size": "1024Mi"}}, {"cassandra": {"size": "1024Mi"}}], ids=["embedded", "cassandra"]
)
def wanted(shop: Object, request: pytest.FixtureRequest) -> list[Object]:
    """All that can be wanted of a region, and what the regions share."""
    other = {"name": "us-east", "zones": ["a"]}
    changed = {"storage": request.param, "regions": [REGION, other], "auth": {"secretName": "who"}}
    cluster = _cluster(shop | {"spec": shop["spec"] | changed})
    first = revision(cluster.spec)
    plan = RegionPlan(replicas={first.name: 2}, weights={first.name: 100})
    shared = manifests.migrations(cluster, {first.name: first})
    return [*shared, *manifests.region(cluster, cluster.spec.regions[0], plan, {first.name: first})]


def _cluster(shop: Object) -> Cluster:
    from kvoperator.api.spec import KVClusterSpec

    metadata = shop["metadata"]
    return Cluster(metadata["name"], metadata["namespace"], metadata["uid"], KVClusterSpec.model_validate(shop["spec"]))


def _of(kind: str, objects: list[Object]) -> Object:
    return next(one for one in objects if one["kind"] == kind)


def _own_entry(answer: Object) -> Object:
    """What the server has noted of our applies; the rest of the object moves on by the controllers' doing."""
    return next(one for one in answer["metadata"]["managedFields"] if one["manager"] == naming.MANAGER)


async def _mirror(kube: Kubernetes) -> Mirror:
    mirror = Mirror()
    for kind in KINDS.values():
        mirror.replace(kind.name, *await kube.objects(kind))
    return mirror


async def _writes(control_plane: ClusterState, api: Api, namespace: str, *, since: datetime) -> list[str]:
    """Our writes about a namespace since a moment, from the API server's audit log, which lags behind its answers."""
    marker = f"marker-{uuid.uuid4().hex[:8]}"
    await api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": _named(marker, namespace)}, manager="test")
    log = control_plane.logs / "audit.log"
    async with asyncio.timeout(10):
        while marker not in log.read_text():  # noqa: ASYNC110 (a file tells nobody that it has grown)
            await asyncio.sleep(0.05)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return [
        f"{one['verb']} {one['requestURI']}"
        for one in events
        if one["user"]["username"] == "admin"  # so the reconciler logs in here; the controllers write, too
        and f"/{namespace}/" in one["requestURI"]
        and marker not in one["requestURI"]
        and one["responseStatus"]["code"] < 400  # what was refused has written nothing
        and datetime.fromisoformat(one["requestReceivedTimestamp"]) >= since
    ]


def _named(name: str, namespace: str) -> Object:
    return {"name": name, "namespace": namespace}


async def test_every_object_is_taken_as_it_is_and_compares_equal_to_what_was_wanted(
    kube: Kubernetes, wanted: list[Object]
) -> None:
    answers = [await kube.apply(one) for one in wanted]

    by_storage = {"PersistentVolumeClaim", "Job"}
    assert {one["kind"] for one in wanted} | by_storage == set(KINDS) - {KVCLUSTER.name}
    assert [drift(one, answer) for one, answer in zip(wanted, answers, strict=True)] == [None] * len(wanted)


async def test_pods_of_the_operators_making_pass_the_restricted_standard(
    api: Api, kube: Kubernetes, wanted: list[Object]
) -> None:
    for one in wanted:
        if "template" not in one.get("spec", {}):
            continue
        template, metadata = one["spec"]["template"], one["metadata"]
        namespace = metadata["namespace"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": metadata["name"], **template["metadata"]}}
        claims = [claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])]
        volumes = [*template["spec"].get("volumes", []), *({"name": name, "emptyDir": {}} for name in claims)]
        pod["spec"] = template["spec"] | {"serviceAccountName": "default", "volumes": volumes}
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": namespace},
        }
        await api.apply(account, manager="test")
        answer = await api.request("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", body=pod)
        assert answer["kind"] == "Pod"


async def test_applying_the_same_again_changes_nothing(kube: Kubernetes, wanted: list[Object]) -> None:
    first = [_own_entry(await kube.apply(one)) for one in wanted]
    second = [_own_entry(await kube.apply(one)) for one in wanted]

    assert first == second


async def test_a_converged_cluster_costs_no_write(
    control_plane: ClusterState, api: Api, kube: Kubernetes, shop: Object, namespace: str
) -> None:
    begun = datetime.now(UTC)
    mirror = await _mirror(kube)
    reconciler = Reconciler(kube, Silence(), Time(), mirror)
    await reconciler.reconcile((namespace, "shop"))
    await reconciler.reconcile((namespace, "shop"))
    settled = datetime.now(UTC)

    for _ in range(3):
        await reconciler.reconcile((namespace, "shop"))
    # A restarted operator, which has nothing in memory, finds nothing to write either.
    restarted = Reconciler(kube, Silence(), Time(), await _mirror(kube))
    assert (await restarted.reconcile((namespace, "shop"))).failed is False

    assert await _writes(control_plane, api, namespace, since=settled) == []
    assert len(await _writes(control_plane, api, namespace, since=begun)) > 8


async def test_auto_follows_the_workload_and_keeps_the_revision(api: Api, kube: Kubernetes, shop: Object) -> None:
    metadata = {"name": "shop", "namespace": shop["metadata"]["namespace"]}
    external = {"external": {"contactPoints": {"eu-west": ["db"]}}}
    auto = shop["spec"] | {"regions": [REGION | {"replicas": "auto"}], "storage": external}
    key = (metadata["namespace"], "busy")

    async def asked(peak_qps: int) -> Object:
        wanted = {"apiVersion": KVCLUSTER.api_version, "kind": KVCLUSTER.name, "metadata": metadata | {"name": "busy"}}
        await api.apply(wanted | {"spec": auto | {"workload": {"peakQPS": peak_qps}}}, manager="kubectl")
        mirror = await _mirror(kube)
        assert not (await Reconciler(kube, Silence(), Time(), mirror).reconcile(key)).failed
        return {
            one["metadata"]["name"]: one["spec"]["replicas"]
            for one in mirror.children(key)
            if one["kind"] == "Deployment"
        }

    (few,), (many,) = (await asked(100)).items(), (await asked(10_000)).items()
    assert few[0] == many[0]
    assert 2 <= few[1] < many[1]


async def test_what_a_person_edited_by_hand_is_put_right_and_what_they_added_stays(
    api: Api, kube: Kubernetes, shop: Object, namespace: str
) -> None:
    mirror = await _mirror(kube)
    await Reconciler(kube, Silence(), Time(), mirror).reconcile((namespace, "shop"))
    deployment = next(one for one in mirror.children((namespace, "shop")) if one["kind"] == "Deployment")
    path = (
        f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment['metadata']['name']}?fieldManager=kubectl-edit"
    )
    edit = {"metadata": {"labels": {"team": "shop"}}, "spec": {"replicas": 1}}
    await api.request("PATCH", path, body=edit, content_type="application/merge-patch+json")

    mirror = await _mirror(kube)
    await Reconciler(kube, Silence(), Time(), mirror).reconcile((namespace, "shop"))

    repaired = mirror.get(("Deployment", namespace, deployment["metadata"]["name"]))
    assert repaired is not None
    assert repaired["spec"]["replicas"] == 2
    assert repaired["metadata"]["labels"]["team"] == "shop"


async def test_a_field_that_another_applies_is_shown_and_not_taken(
    api: Api, kube: Kubernetes, wanted: list[Object]
) -> None:
    deployment = _of("Deployment", wanted)
    await kube.apply(deployment)
    theirs = {key: deployment[key] for key in ("apiVersion", "kind")}
    theirs["metadata"] = {key: deployment["metadata"][key] for key in ("name", "namespace")}
    await api.apply(theirs | {"spec": {"replicas": 7}}, manager="argocd", force=True)

    with pytest.raises(ConflictError) as caught:
        await kube.apply(deployment)

    assert (caught.value.fields, caught.value.managers, caught.value.by_hand) == (
        (".spec.replicas",),
        ("argocd",),
        False,
    )


async def test_a_conflict_stalls_the_cluster_with_field_and_manager_and_the_rest_goes_on(
    api: Api, kube: Kubernetes, shop: Object, namespace: str
) -> None:
    theirs = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": {"maxUnavailable": 3}}
    name = naming.regional("shop", "eu-west")
    theirs["metadata"] = {"name": name, "namespace": namespace}
    await api.apply(theirs, manager="argocd")
    mirror = await _mirror(kube)
    reconciler = Reconciler(kube, Silence(), Time(), mirror)

    again = await reconciler.reconcile((namespace, "shop"))

    status = mirror.get((KVCLUSTER.name, namespace, "shop"))["status"]  # type: ignore[index]
    stalled = next(one for one in status["conditions"] if one["type"] == "Stalled")
    assert (again.failed, stalled["status"], stalled["reason"]) == (True, "True", "FieldConflict")
    assert ".spec.maxUnavailable belongs to argocd" in stalled["message"]
    unseen = {KVCLUSTER.name, "PodDisruptionBudget", "Job"}
    assert {one["kind"] for one in mirror.children((namespace, "shop"))} == set(KINDS) - unseen


async def test_an_unknown_field_is_refused_for_good(kube: Kubernetes, wanted: list[Object]) -> None:
    broken = _of("ConfigMap", wanted) | {"no-such-field": "x"}

    with pytest.raises(RefusedError, match="no-such-field"):
        await kube.apply(broken)


async def test_a_status_made_from_an_older_version_is_not_written(api: Api, kube: Kubernetes, shop: Object) -> None:
    await api.apply(_user_part(shop) | {"spec": shop["spec"] | {"cache": {"ttl": "1m"}}}, manager="kubectl")

    with pytest.raises(StaleError):
        await kube.write_status(shop, {"phase": "Done"})


async def test_the_owner_of_the_data_follows_the_deletion_policy(api: Api, kube: Kubernetes, shop: Object) -> None:
    owners = []
    for policy in ("Retain", "Delete", "Retain"):
        shop = await api.apply(
            _user_part(shop) | {"spec": shop["spec"] | {"deletionPolicy": policy}}, manager="kubectl"
        )
        mirror = await _mirror(kube)
        namespace = shop["metadata"]["namespace"]
        await Reconciler(kube, Silence(), Time(), mirror).reconcile((namespace, "shop"))
        claim = mirror.get(("PersistentVolumeClaim", namespace, "shop-eu-west-data"))
        owners.append([owner["name"] for owner in (claim or {})["metadata"].get("ownerReferences", [])])

    assert owners == [[], ["shop"], []]


async def test_deleting_another_object_of_the_name_is_refused_and_a_missing_one_is_no_error(
    kube: Kubernetes, wanted: list[Object]
) -> None:
    config = await kube.apply(_of("ConfigMap", wanted))
    impostor = config | {"metadata": config["metadata"] | {"uid": str(uuid.uuid4())}}

    with pytest.raises(StaleError):
        await kube.delete(impostor)
    await kube.delete(config)
    await kube.delete(config)


async def test_a_secret_that_is_there_is_left_as_it_is(api: Api, kube: Kubernetes, shop: Object) -> None:
    given = manifests.tokens(_cluster(shop))
    path = f"/api/v1/namespaces/{given['metadata']['namespace']}/secrets"
    await api.request("POST", path, body=given | {"stringData": {"KV_RELAY_TOKEN": "my own"}})

    await kube.create(given)

    found = await api.request("GET", f"{path}/shop-tokens")
    assert base64.b64decode(found["data"]["KV_RELAY_TOKEN"]) == b"my own"
    await api.request("DELETE", f"{path}/shop-tokens")
    await kube.create(given)
    assert sorted((await api.request("GET", f"{path}/shop-tokens"))["data"]) == ["KV_RELAY_TOKEN", "KV_SESSION_SECRET"]


async def test_an_event_that_is_posted_twice_is_there_once(api: Api, kube: Kubernetes, shop: Object) -> None:
    now, event = datetime(2030, 1, 1, tzinfo=UTC), Event("Normal", "Promoted", "kvservice:2 is stable now")

    await kube.post_event(shop, event, now)
    await kube.post_event(shop, event, now)

    found = await api.request("GET", f"/api/v1/namespaces/{shop['metadata']['namespace']}/events")
    about = [(one["reason"], one["involvedObject"]["name"]) for one in found["items"]]
    assert about == [("Promoted", "shop")]


def _user_part(shop: Object) -> Object:
    metadata = {key: shop["metadata"][key] for key in ("name", "namespace")}
    return {"apiVersion": shop["apiVersion"], "kind": shop["kind"], "metadata": metadata, "spec": shop["spec"]}

"""What the builders promise: pods that nothing rolls, data that outlives its owner, and one answer to one question."""

import json
from dataclasses import replace
from typing import Any

import pytest

from kvoperator.api.spec import GatewayRef, KVClusterSpec, Region
from kvoperator.api.status import Revision
from kvoperator.core import manifests, naming
from kvoperator.core.manifests import Cluster
from kvoperator.core.manifests.base import hashed
from kvoperator.core.manifests.volume import canonical
from kvoperator.core.rollout.model import RegionPlan

Object = dict[str, Any]
CONFIG = {"KV_CACHE_TTL_S": "600", "KV_STORE_PATH": "/var/lib/kv/store.db"}
STABLE = Revision(name="aaaaaaaaaa", image="kvservice:1", config=CONFIG)
CANARY = Revision(name="bbbbbbbbbb", image="kvservice:2", config=CONFIG)
PLAN = RegionPlan(replicas={STABLE.name: 3, CANARY.name: 1}, weights={STABLE.name: 75, CANARY.name: 25})


def cluster(**spec: Any) -> Cluster:
    region = {"name": "eu-west", "zones": ["a", "b"], "replicas": 3}
    wanted = {"release": {"image": "kvservice:2"}, "regions": [region]} | spec
    return Cluster("shop", "web", "uid-1", KVClusterSpec.model_validate(wanted))


def built(own: Cluster | None = None, plan: RegionPlan = PLAN) -> dict[tuple[str, str], Object]:
    own = own or cluster()
    revisions = {known.name: known for known in (STABLE, CANARY)}
    objects = manifests.region(own, own.spec.regions[0], plan, revisions)
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def template(own: Cluster | None = None) -> Object:
    deployment = built(own)["Deployment", "shop-eu-west-bbbbbbbbbb"]
    found: Object = deployment["spec"]["template"]
    return found


def test_a_region_is_these_objects_and_no_others() -> None:
    sets = {(kind, f"shop-eu-west-{name}") for kind in ("Deployment", "ConfigMap", "Service") for name in PLAN.weights}
    regional = {(kind, "shop-eu-west") for kind in ("HTTPRoute", "PodDisruptionBudget", "Service")}
    cache = {("StatefulSet", "shop-eu-west-cache"), ("Service", "shop-eu-west-cache")}
    assert set(built()) == sets | regional | cache | {("PersistentVolumeClaim", "shop-eu-west-data")}


@pytest.mark.parametrize(
    "edit",
    [
        {"release": {"image": "kvservice:3"}},
        {"slo": {"availability": 99.5}},
        {"rollout": {"bake": "1h"}},
        {"limits": {"valueBytes": 1024}},
        {"cache": {"ttl": "1m", "memory": "128Mi"}},
        {"storage": {"embedded": {"size": "2Gi"}}},
        {"namespaces": [{"name": "orders"}], "auth": {"secretName": "who"}},
        {"cache": {"shards": 4}},
        {"deletionPolicy": "Delete"},
    ],
    ids=lambda edit: next(iter(edit)),
)
def test_no_edit_of_the_spec_changes_the_pods_of_a_revision(edit: Object) -> None:
    assert template(cluster(**edit)) == template()


def test_the_pod_template_is_the_one_that_runs_at_our_users() -> None:
    """Moving this figure restarts every pod of every cluster when the operator is upgraded."""
    digest = hashed({"metadata": {}, "template": template()})["metadata"]["annotations"][naming.APPLIED_HASH]
    assert digest == "74d62c5c187b4f46"


def test_pods_may_do_little() -> None:
    for pod in (template()["spec"], built()["StatefulSet", "shop-eu-west-cache"]["spec"]["template"]["spec"]):
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_pods_run_in_their_regions_zones_only_and_are_spread_over_them() -> None:
    affinity = template()["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [term] = affinity["nodeSelectorTerms"]
    assert {one["key"]: one["values"] for one in term["matchExpressions"]} == {
        "topology.kubernetes.io/region": ["eu-west"],
        "topology.kubernetes.io/zone": ["a", "b"],
    }
    [spread] = template()["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["maxSkew"]) == ("topology.kubernetes.io/zone", 1)


def test_the_route_gives_each_revision_its_weight_at_the_regions_own_gateway() -> None:
    route = built()["HTTPRoute", "shop-eu-west"]["spec"]
    [rule], [parent] = route["rules"], route["parentRefs"]
    weights = {one["name"]: (one["port"], one["weight"]) for one in rule["backendRefs"]}
    assert weights == {"shop-eu-west-aaaaaaaaaa": (80, 75), "shop-eu-west-bbbbbbbbbb": (80, 25)}
    assert (parent["name"], parent["namespace"]) == ("eu-west", "web")
    assert route["hostnames"] == ["shop.web.kv"]


def test_a_region_may_name_another_gateway() -> None:
    region = Region(name="eu-west", zones=["a"], gateway=GatewayRef(name="edge", namespace="infra"))
    parent = manifests.gateway(cluster(), region)
    assert (parent["name"], parent["namespace"]) == ("edge", "infra")


def test_each_service_picks_the_pods_of_its_revision_alone() -> None:
    objects = built()
    for name in PLAN.weights:
        wanted = objects["Service", f"shop-eu-west-{name}"]["spec"]["selector"]
        picked = [
            other
            for other in PLAN.weights
            if wanted.items()
            <= objects["Deployment", f"shop-eu-west-{other}"]["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert picked == [name]


def test_settings_of_the_revision_and_of_the_region_meet_in_the_config() -> None:
    data = built()["ConfigMap", "shop-eu-west-bbbbbbbbbb"]["data"]
    assert data == {
        "KV_ADMIN_PORT": "9090",
        "KV_CACHE_TTL_S": "600",
        "KV_CACHE_URLS": "redis://shop-eu-west-cache-0.shop-eu-west-cache.web.svc:6379",
        "KV_PORT": "8080",
        "KV_REGION": "eu-west",
        "KV_REVISION": "bbbbbbbbbb",
        "KV_STORE_PATH": "/var/lib/kv/store.db",
    }


def test_all_but_retained_data_goes_with_the_cluster() -> None:
    orphans = [kind for (kind, _), one in built().items() if "ownerReferences" not in one["metadata"]]
    assert orphans == ["PersistentVolumeClaim"]
    all_owned = built(cluster(deletionPolicy="Delete"))
    assert all("ownerReferences" in one["metadata"] for one in all_owned.values())


def test_while_revisions_differ_about_the_shards_of_the_cache_it_has_all_of_them() -> None:
    own, wider = cluster(cache={"shards": 3}), STABLE.model_copy(update={"cache_shards": 3})
    objects = manifests.region(own, own.spec.regions[0], PLAN, {STABLE.name: wider, CANARY.name: CANARY})
    found = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    assert found["StatefulSet", "shop-eu-west-cache"]["spec"]["replicas"] == 3
    urls = [found["ConfigMap", f"shop-eu-west-{name}"]["data"]["KV_CACHE_URLS"] for name in PLAN.weights]
    assert [len(each.split(",")) for each in urls] == [3, 1]


def test_the_tokens_follow_from_the_uid_and_differ_from_each_other() -> None:
    given = manifests.tokens(cluster())["stringData"]
    assert sorted(given) == ["KV_RELAY_TOKEN", "KV_SESSION_SECRET"]
    assert given["KV_RELAY_TOKEN"] != given["KV_SESSION_SECRET"]
    assert manifests.tokens(cluster())["stringData"] == given
    other = replace(cluster(), uid="uid-2")
    assert not set(manifests.tokens(other)["stringData"].values()) & set(given.values())


def test_who_is_who_is_read_from_the_secret_that_the_revision_names() -> None:
    known = STABLE.model_copy(
        update={"config": CONFIG | {"KV_AUTH_FILE": "/etc/kv/auth/auth.json"}, "secrets": {"auth": "who"}}
    )
    own = cluster()
    objects = manifests.region(own, own.spec.regions[0], PLAN, {STABLE.name: known})
    [pod] = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    assert {"name": "auth", "mountPath": "/etc/kv/auth", "readOnly": True} in pod["containers"][0]["volumeMounts"]
    [volume] = [one["secret"] for one in pod["volumes"] if one["name"] == "auth"]
    assert volume == {"secretName": "who", "items": [{"key": "auth.json", "path": "auth.json"}]}


def test_a_revision_whose_pods_cannot_be_described_is_not_built() -> None:
    plan = RegionPlan(replicas={"cccccccccc": 1}, weights={STABLE.name: 100})
    assert not [name for _, name in built(plan=plan) if name.endswith("cccccccccc")]


@pytest.mark.parametrize(
    ("image", "program"),
    [("valkey:9.1", "valkey-server"), ("redis:7", "redis-server"), ("registry/redis/valkey:9", "valkey-server")],
)
def test_the_cache_is_valkey_or_redis_by_its_image(image: str, program: str) -> None:
    cache = built(cluster(cache={"image": image, "memory": "64Mi"}))["StatefulSet", "shop-eu-west-cache"]
    command = cache["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[0] == program
    assert command[command.index("--maxmemory") + 1] == str(64 * 2**20)
    assert command[command.index("--save") + 1] == ""


@pytest.mark.parametrize(
    ("written", "stored"),
    [("1Gi", "1Gi"), ("1024Mi", "1Gi"), ("1500k", "1500k"), ("1000k", "1M"), ("4096", "4096"), ("3000", "3k")],
)
def test_sizes_are_written_as_the_api_server_stores_them(written: str, stored: str) -> None:
    assert canonical(written) == stored


def test_the_same_question_has_the_same_answer_byte_for_byte() -> None:
    replicas, weights = (dict(reversed(list(one.items()))) for one in (PLAN.replicas, PLAN.weights))
    shuffled = RegionPlan(replicas=replicas, weights=weights)
    texts = [json.dumps(sorted(built(plan=plan).values(), key=str), sort_keys=True) for plan in (PLAN, shuffled)]
    assert texts[0] == texts[1]

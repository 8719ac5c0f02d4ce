"""What the builders promise of Cassandra, of the migration that fills it and of the relay between regions."""

from typing import Any

import pytest

from kvoperator.api.spec import KVClusterSpec
from kvoperator.core import manifests
from kvoperator.core.manifests import Cluster
from kvoperator.core.revision import revision
from kvoperator.core.rollout.model import RegionPlan

Object = dict[str, Any]
REGIONS = [{"name": name, "zones": ["a", "b"]} for name in ("us-east", "eu-west")]
CASSANDRA = {"cassandra": {"nodesPerRegion": 4, "replicationFactor": 2, "memory": "1Gi", "size": "1024Mi"}}
EXTERNAL = {
    "external": {
        "contactPoints": {"eu-west": ["10.0.0.1", "10.0.0.2:9043"], "us-east": ["cass.us"]},
        "datacenters": {"us-east": "dc-7"},
        "secretName": "cass",
        "tls": True,
    }
}


def cluster(storage: Object, regions: list[Object] = REGIONS, **spec: Any) -> Cluster:
    wanted = {"release": {"image": "kvservice:1"}, "regions": regions, "storage": storage} | spec
    return Cluster("shop", "web", "uid-1", KVClusterSpec.model_validate(wanted))


def built(own: Cluster) -> dict[tuple[str, str], Object]:
    """All objects of eu-west."""
    first = revision(own.spec)
    plan = RegionPlan(replicas={first.name: 2}, weights={first.name: 100})
    region = next(each for each in own.spec.regions if each.name == "eu-west")
    return {
        (one["kind"], one["metadata"]["name"]): one for one in manifests.region(own, region, plan, {first.name: first})
    }


def nodes(own: Cluster) -> Object:
    found: Object = built(own)["StatefulSet", "shop-eu-west-cassandra"]["spec"]
    return found


def settings(own: Cluster) -> Object:
    found: Object = built(own)["ConfigMap", f"shop-eu-west-{revision(own.spec).name}"]["data"]
    return found


def environment(container: Object) -> Object:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def node(own: Cluster) -> Object:
    [container] = nodes(own)["template"]["spec"]["containers"]
    return environment(container)


def migration(own: Cluster) -> Object:
    first = revision(own.spec)
    [job] = manifests.migrations(own, {first.name: first})
    return job


def test_pods_reach_the_first_nodes_of_their_own_region_by_names_that_stay() -> None:
    own = cluster(CASSANDRA)
    hosts = [f"shop-eu-west-cassandra-{number}.shop-eu-west-cassandra.web.svc" for number in range(3)]
    assert settings(own)["KV_CASSANDRA_POINTS"] == ",".join(hosts)
    assert settings(own)["KV_CASSANDRA_DATACENTER"] == "eu-west"
    service = built(own)["Service", "shop-eu-west-cassandra"]["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert nodes(own)["serviceName"] == "shop-eu-west-cassandra"


def test_no_data_volume_of_the_embedded_store_is_there_beside_cassandra() -> None:
    own = cluster(CASSANDRA)
    assert not [name for kind, name in built(own) if kind == "PersistentVolumeClaim"]
    assert "KV_STORE_PATH" not in settings(own)
    pod = built(own)["Deployment", f"shop-eu-west-{revision(own.spec).name}"]["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]


def test_all_nodes_of_all_regions_have_the_same_seeds_whatever_the_order_of_the_regions() -> None:
    seeds = node(cluster(CASSANDRA))["CASSANDRA_SEEDS"]
    assert len(seeds.split(",")) == 6
    assert "shop-us-east-cassandra-2.shop-us-east-cassandra.web.svc" in seeds
    assert node(cluster(CASSANDRA, regions=REGIONS[::-1]))["CASSANDRA_SEEDS"] == seeds


def test_a_node_is_told_where_it_is_and_to_sync_before_it_acknowledges() -> None:
    told = node(cluster(CASSANDRA))
    assert (told["CASSANDRA_DC"], told["CASSANDRA_RACK"]) == ("eu-west", "rack1")
    assert told["CASSANDRA_LISTEN_ADDRESS"] == {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}
    assert (told["MAX_HEAP_SIZE"], told["HEAP_NEWSIZE"]) == ("512M", "128M")
    assert "commitlog_sync=batch" in told["JVM_EXTRA_OPTS"]


def test_nodes_keep_their_volumes_unless_told_to_delete() -> None:
    [claim] = nodes(cluster(CASSANDRA))["volumeClaimTemplates"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "1Gi"}}
    kept = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert nodes(cluster(CASSANDRA))["persistentVolumeClaimRetentionPolicy"] == kept
    policy = nodes(cluster(CASSANDRA, deletionPolicy="Delete"))["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Delete", "whenScaled": "Retain"}


def test_one_node_at_a_time_may_be_drained() -> None:
    budget = built(cluster(CASSANDRA))["PodDisruptionBudget", "shop-eu-west-cassandra"]["spec"]
    assert budget["maxUnavailable"] == 1
    labels = nodes(cluster(CASSANDRA))["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()


def test_nodes_are_spread_over_zones_and_machines_and_may_do_little() -> None:
    pod = nodes(cluster(CASSANDRA))["template"]["spec"]
    keys = [one["topologyKey"] for one in pod["topologySpreadConstraints"]]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (999, True)


def test_the_migration_makes_the_keyspace_with_a_datacenter_for_each_region() -> None:
    [container] = migration(cluster(CASSANDRA))["spec"]["template"]["spec"]["containers"]
    told = environment(container)
    assert (container["image"], container["command"]) == ("kvservice:1", ["kvservice", "migrate"])
    assert told["KV_CASSANDRA_REPLICATION"] == "eu-west=2,us-east=2"
    assert told["KV_CASSANDRA_KEYSPACE"] == "kv"
    assert told["KV_CASSANDRA_DATACENTER"] == "eu-west"


@pytest.mark.parametrize(
    "other",
    [
        cluster(CASSANDRA, release={"image": "kvservice:2"}),
        cluster(CASSANDRA, regions=REGIONS[1:]),
        cluster({"cassandra": CASSANDRA["cassandra"] | {"replicationFactor": 3}}),
    ],
    ids=["image", "regions", "copies"],
)
def test_another_image_or_replication_is_another_migration(other: Cluster) -> None:
    assert migration(other)["metadata"]["name"] != migration(cluster(CASSANDRA))["metadata"]["name"]


def test_what_the_schema_does_not_depend_on_migrates_nothing() -> None:
    same = cluster(CASSANDRA, regions=REGIONS[::-1], cache={"ttl": "1m"}, namespaces=[{"name": "orders"}])
    assert migration(same) == migration(cluster(CASSANDRA))


def test_the_embedded_store_needs_no_migration() -> None:
    own = cluster({"embedded": {}})
    assert manifests.migrations(own, {"a": revision(own.spec)}) == []


def test_an_external_cassandra_is_reached_as_the_spec_says() -> None:
    own = cluster(EXTERNAL)
    assert settings(own)["KV_CASSANDRA_POINTS"] == "10.0.0.1,10.0.0.2:9043"
    assert settings(own)["KV_CASSANDRA_DATACENTER"] == "eu-west"
    told = environment(migration(own)["spec"]["template"]["spec"]["containers"][0])
    assert told["KV_CASSANDRA_REPLICATION"] == "dc-7=3,eu-west=3"
    assert not [name for kind, name in built(own) if name.endswith("cassandra")]


@pytest.mark.parametrize("kind", ["service", "relay", "migration"])
def test_password_and_certificates_come_from_the_secret(kind: str) -> None:
    own = cluster(EXTERNAL)
    found = {
        "service": built(own)["Deployment", f"shop-eu-west-{revision(own.spec).name}"],
        "relay": built(own)["Deployment", "shop-eu-west-relay"],
        "migration": migration(own),
    }[kind]["spec"]["template"]["spec"]
    [container] = found["containers"]
    secret = {"name": "cass", "key": "password", "optional": True}
    assert environment(container)["KV_CASSANDRA_PASSWORD"] == {"secretKeyRef": secret}
    assert {"name": "cassandra", "mountPath": "/etc/kv/cassandra", "readOnly": True} in container["volumeMounts"]
    assert found["volumes"][-1]["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]


def test_the_relay_follows_every_other_region_with_the_stable_revisions_image_and_settings() -> None:
    own = cluster({"embedded": {}})
    spec = built(own)["Deployment", "shop-eu-west-relay"]["spec"]
    [container] = spec["template"]["spec"]["containers"]
    assert (container["image"], container["command"]) == ("kvservice:1", ["kvservice", "relay"])
    assert environment(container)["KV_PEERS"] == "us-east=http://shop-us-east.web.svc:80"
    sources = [next(iter(one.values()))["name"] for one in container["envFrom"]]
    assert sources == [f"shop-eu-west-{revision(own.spec).name}", "shop-tokens"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_a_single_region_has_no_relay() -> None:
    assert not [name for _, name in built(cluster(CASSANDRA, regions=REGIONS[1:])) if name.endswith("relay")]


def test_no_service_picks_the_relay_up_as_a_pod_that_serves() -> None:
    objects = built(cluster(CASSANDRA))
    relay = objects["Deployment", "shop-eu-west-relay"]["spec"]["template"]["metadata"]["labels"]
    services = [one["spec"]["selector"] for (kind, _), one in objects.items() if kind == "Service"]
    assert not [selector for selector in services if selector.items() <= relay.items()]

"""What makes another revision, and what does not."""

import json

import pytest

from kvoperator.api.spec import Cache, Gate, KVClusterSpec, Limits, Region, Release, Rollout, Slo, Step
from kvoperator.core.revision import revision


def a_spec(**changes: object) -> KVClusterSpec:
    base = {"release": Release(image="kv:1"), "regions": [Region(name="eu-west", zones=["a"])]}
    return KVClusterSpec.model_validate(base | changes)


def test_golden_names_so_that_an_upgrade_of_the_operator_rolls_nothing() -> None:
    """If this fails, every KVCluster in the world would start a rollout. Do not update the names; undo the change."""
    odd = a_spec(
        release=Release(image="registry.example/team/kv:1.5.0"),
        cache=Cache(ttl="1h30m"),
        limits=Limits(value_bytes=5, id_bytes=7),
        slo=Slo(latency={"50": "5ms", "99.9": "1s"}),
    )
    assert (revision(a_spec()).name, revision(odd).name) == ("7add4f2e65", "52cb381cdb")


def test_config_holds_the_settings_that_all_regions_share() -> None:
    assert revision(
        a_spec(cache=Cache(ttl="90s"), slo=Slo(latency={"99": "250ms", "95": "100ms", "50": "1s"}))
    ).config == {
        "KV_CACHE_STALE_S": "3600",
        "KV_CACHE_TTL_S": "90",
        "KV_LATENCY_EDGES_S": "0.1,0.25,1",
        "KV_MAX_ID_BYTES": "512",
        "KV_MAX_VALUE_BYTES": "1048576",
        "KV_NAMESPACES": '[{"name":"*"}]',
        "KV_STORE_PATH": "/var/lib/kv/store.db",
    }


def test_a_namespace_is_told_as_the_service_reads_it() -> None:
    policy = {"name": "orders", "writeMode": "cas", "home": "eu-west", "ttl": "1500ms", "access": {"write": ["web"]}}
    told = json.loads(revision(a_spec(namespaces=[policy, {"name": "*"}])).config["KV_NAMESPACES"])
    cas = {"name": "orders", "writeMode": "cas", "home": "eu-west", "ttlS": 2, "access": {"write": ["web"]}}
    assert told == [cas, {"name": "*"}]


def test_an_external_cassandra_is_told_by_keyspace_and_secret_not_by_where_it_is() -> None:
    external = {"contact_points": {"eu-west": ["a"]}, "keyspace": "shop", "secret_name": "cass", "tls": True}
    told = revision(a_spec(storage={"external": external}))
    assert told.config["KV_CASSANDRA_KEYSPACE"] == "shop"
    assert told.config["KV_CASSANDRA_CA"] == "/etc/kv/cassandra/ca.crt"
    assert told.secrets == {"cassandra": "cass"}
    moved = external | {"contact_points": {"eu-west": ["b"]}}
    assert revision(a_spec(storage={"external": moved})) == told


@pytest.mark.parametrize(
    "changes",
    [
        {"release": Release(image="kv:2")},
        {"cache": Cache(ttl="1m")},
        {"cache": Cache(stale="2h")},
        {"cache": Cache(shards=2)},
        {"auth": {"secret_name": "who"}},
        {"namespaces": [{"name": "*", "ttl": "1h"}]},
        {"namespaces": [{"name": "orders"}]},
        {"limits": Limits(value_bytes=1)},
        {"limits": Limits(id_bytes=1)},
        {"slo": Slo(latency={"95": "101ms"})},
    ],
)
def test_what_a_pod_runs_makes_another_revision(changes: dict[str, object]) -> None:
    assert revision(a_spec(**changes)).name != revision(a_spec()).name


@pytest.mark.parametrize(
    "changes",
    [
        {"regions": [Region(name="us-east", zones=["b"], replicas=9)]},
        {"regions": [Region(name="eu-west", zones=["a"], replicas="auto", share=1)], "workload": {"peakQPS": 50000}},
        {"workload": {"peakQPS": 1, "service": {"podRead": {"meanMs": 1}}}},
        {"rollout": Rollout(steps=[Step(traffic=1)], gates=[Gate.LATENCY])},
        {"slo": Slo(availability=95)},
        {"slo": Slo(latency={"90": "100ms", "98": "250ms"})},
        {"namespaces": [{"name": "*", "write_mode": "lww", "ttl": "0ms"}]},
        {"cache": Cache(ttl="600s", image="redis:8", memory="1Gi")},
    ],
)
def test_all_else_keeps_the_revision(changes: dict[str, object]) -> None:
    assert revision(a_spec(**changes)) == revision(a_spec())

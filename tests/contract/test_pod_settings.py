"""What the operator tells a pod is what the service of this tree takes, to the last variable."""

import os
from typing import Any

import pytest

from kvoperator.api.spec import KVClusterSpec
from kvoperator.core import manifests
from kvoperator.core.manifests import Cluster, Object
from kvoperator.core.revision import revision
from kvoperator.core.rollout.model import RegionPlan
from kvservice.settings import Settings, load

REGIONS = [{"name": name, "zones": ["a"]} for name in ("eu-west", "us-east")]
NAMESPACES = [
    {"name": "*", "ttl": "90s", "valueBytes": 7, "requestsPerSecond": 9, "sessionElsewhere": "mark"},
    {"name": "orders", "writeMode": "cas", "home": "us-east", "access": {"read": ["web", "audit"], "write": []}},
]
POINTS = {"eu-west": ["10.0.0.1:9142"], "us-east": ["cass.us.example"]}
STORAGES: dict[str, Object] = {
    "embedded": {"embedded": {}},
    "cassandra": {"cassandra": {}},
    "external": {"external": {"contactPoints": POINTS, "secretName": "cass", "tls": True}},
}


def told(storage: Object) -> dict[str, dict[str, str]]:
    """Process -> its environment, as Kubernetes puts it together; what comes from the pod is made up."""
    spec = {"release": {"image": "kv:1"}, "regions": REGIONS, "storage": storage, "namespaces": NAMESPACES}
    own = Cluster("shop", "web", "uid-1", KVClusterSpec.model_validate(spec | {"auth": {"secretName": "who"}}))
    first = revision(own.spec)
    plan = RegionPlan(replicas={first.name: 1}, weights={first.name: 100})
    objects = manifests.region(own, own.spec.regions[0], plan, {first.name: first})
    [config] = [one["data"] for one in objects if one["kind"] == "ConfigMap"]
    shared = config | manifests.tokens(own)["stringData"]
    found = {}
    for workload in (*objects, *manifests.migrations(own, {first.name: first})):
        for container in workload.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
            if container["image"] == "kv:1":
                env = {one["name"]: one.get("value", "127.0.0.1") for one in container["env"]}
                found[container["name"]] = (shared if "envFrom" in container else {}) | env
    return found


def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("KV_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load()


@pytest.mark.parametrize("storage", STORAGES)
def test_every_variable_is_one_that_the_service_knows_and_accepts(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = told(STORAGES[storage])
    assert set(processes) == {"service", "relay"} | ({"migrate"} if storage != "embedded" else set())
    for environment in processes.values():
        assert {name.removeprefix("KV_").lower() for name in environment} <= Settings.model_fields.keys()
        settings(environment, monkeypatch)


def test_namespaces_arrive_as_they_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    others, orders = settings(told(STORAGES["embedded"])["service"], monkeypatch).namespaces
    assert (others.ttl_s, others.value_bytes, others.requests_per_second) == (90, 7, 9)
    assert (others.write_mode.value, others.session_elsewhere.value, others.access.read) == ("lww", "mark", ("*",))
    assert (orders.name, orders.write_mode.value, orders.home) == ("orders", "cas", "us-east")
    assert (orders.access.read, orders.access.write, orders.ttl_s) == (("web", "audit"), (), 0)


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ("embedded", {}),
        ("cassandra", {"eu-west": 3, "us-east": 3}),
        ("external", {"eu-west": 3, "us-east": 3}),
    ],
)
def test_the_migration_and_only_it_learns_about_the_copies(
    storage: str, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = told(STORAGES[storage])
    known = {name: settings(env, monkeypatch).cassandra_replication for name, env in processes.items()}
    assert known.pop("migrate", {}) == expected
    assert set(map(str, known.values())) == {"{}"}

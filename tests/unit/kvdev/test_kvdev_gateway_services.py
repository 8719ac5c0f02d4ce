"""Which pods serve which Service's port."""

from typing import Any

import pytest

from kvdev.gateway.services import backends

SELECTOR = {"app": "kv"}


def service(**spec: Any) -> dict[str, Any]:
    port = {"port": 80, "targetPort": 8080, "protocol": "TCP"}
    return {
        "metadata": {"namespace": "shop", "name": "kv"},
        "spec": {"clusterIP": "127.96.0.7", "selector": SELECTOR, "ports": [port]} | spec,
    }


def pod(
    *, ready: str = "True", ip: str | None = "127.64.0.1", ports: list[dict[str, Any]] | None = None, **metadata: Any
) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "kv-0", "labels": {"app": "kv", "more": "x"}} | metadata,
        "spec": {"containers": [{"name": "service", "ports": ports or []}]},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
    }


def endpoints_of(service_: dict[str, Any], *pods: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    by_key = {(p["metadata"]["namespace"], p["metadata"]["name"]): p for p in pods}
    (backend,) = backends({("shop", "kv"): service_}, by_key).values()
    return backend.endpoints


def test_a_ready_pod_with_the_selectors_labels_is_an_endpoint() -> None:
    assert endpoints_of(service(), pod()) == (("127.64.0.1", 8080),)


@pytest.mark.parametrize(
    "other",
    [
        pod(ready="False"),
        pod(ip=None),
        pod(deletionTimestamp="2026-01-01T00:00:00Z"),
        pod(labels={"app": "other"}),
        pod(labels=None),
        pod(namespace="elsewhere"),
        pod() | {"status": {}},
    ],
    ids=["not ready", "no address", "terminating", "other label", "no labels", "other namespace", "just made"],
)
def test_other_pods_are_none(other: dict[str, Any]) -> None:
    assert endpoints_of(service(), other) == ()


def test_a_named_port_is_what_each_pod_says_it_is() -> None:
    named = service(ports=[{"port": 80, "targetPort": "data"}])
    old = pod(name="old", ip="127.64.0.1", ports=[{"name": "data", "containerPort": 8080}])
    new = pod(name="new", ip="127.64.0.2", ports=[{"name": "data", "containerPort": 9000}])
    without = pod(name="without", ip="127.64.0.3")
    assert endpoints_of(named, old, new, without) == (("127.64.0.1", 8080), ("127.64.0.2", 9000))


def test_without_a_target_port_it_is_the_services_own() -> None:
    assert endpoints_of(service(ports=[{"port": 6379}]), pod()) == (("127.64.0.1", 6379),)


def test_a_backend_is_named_after_namespace_service_and_port() -> None:
    ports = [{"port": 80}, {"port": 9090}]
    assert set(backends({("shop", "kv"): service(ports=ports)}, {})) == {"shop/kv/80", "shop/kv/9090"}


def test_a_headless_service_has_no_address_to_listen_on() -> None:
    assert backends({("shop", "kv"): service(clusterIP="None")}, {})["shop/kv/80"].cluster_ip == ""


@pytest.mark.parametrize(
    "spec",
    [
        {"selector": None},
        {"type": "ExternalName", "clusterIP": ""},
        {"ports": [{"port": 53, "protocol": "UDP"}]},
    ],
)
def test_what_is_not_served_makes_no_backend(spec: dict[str, Any]) -> None:
    assert backends({("shop", "kv"): service(**spec)}, {}) == {}

"""From a pod's object to argv and env, as Kubernetes renders them, with paths and names of this machine."""

import base64
from pathlib import Path
from typing import Any

import pytest

from kvdev.agent.environment import (
    ConfigError,
    Sources,
    UnresolvedNameError,
    arguments,
    content,
    expand,
    field,
    references,
    rewrite_names,
    rewrite_paths,
    variables,
)

POD = {
    "metadata": {"name": "p-0", "namespace": "shop", "uid": "u", "labels": {"a/b": "x"}, "annotations": {}},
    "spec": {"nodeName": "eu-west-a"},
    "status": {"podIP": "127.64.1.2", "hostIP": "127.32.0.1"},
}
SOURCES = Sources(
    POD,
    config_maps={"settings": {"data": {"KV_PORT": "8080", "KV_REGION": "eu-west"}}},
    secrets={"login": {"data": {"user": base64.b64encode(b"ann").decode()}}},
)
MOUNTS = {"/data": Path("/state/v1"), "/data/deep": Path("/state/v2"), "/etc/kv/": Path("/state/v3")}


def resolve(namespace: str, service: str, pod: str | None) -> str | None:
    known = {("shop", "cache", None): "127.96.0.7", ("shop", "db", "db-0"): "127.64.9.9"}
    return known.get((namespace, service, pod))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $(A", "$A ${A} $(A"),
        ("cost: 5$", "cost: 5$"),
    ],
)
def test_references_expand_as_in_kubernetes(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expanded


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("/data", "/state/v1"),
        ("--dir=/data/store.db", "--dir=/state/v1/store.db"),
        ("/data/deep/x", "/state/v2/x"),
        ("/data:/etc/kv/a.yaml", "/state/v1:/state/v3/a.yaml"),
        ("file:///data/x", "file:///state/v1/x"),
        ("cat '/data/x'", "cat '/state/v1/x'"),
        ("/database /data.db /data-2", "/database /data.db /data-2"),
        ("/var/data http://host/data http://data/x $HOME/data", "/var/data http://host/data http://data/x $HOME/data"),
    ],
)
def test_mount_paths_become_folders_only_where_they_stand_as_paths(text: str, rewritten: str) -> None:
    assert rewrite_paths(text, MOUNTS) == rewritten


def test_a_rewritten_path_is_not_rewritten_again() -> None:
    assert rewrite_paths("/data", {"/data": Path("/state/x"), "/state": Path("/other")}) == "/state/x"


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("redis://cache.shop.svc:6379", "redis://127.96.0.7:6379"),
        ("cache.shop.svc.cluster.local,db-0.db.shop.svc", "127.96.0.7,127.64.9.9"),
        ("cache.shop.svc.", "127.96.0.7."),
        ("cache.shop.svc.example.com", "cache.shop.svc.example.com"),
        ("cache.shop.svcs cache.shop", "cache.shop.svcs cache.shop"),
    ],
)
def test_service_names_become_addresses(text: str, rewritten: str) -> None:
    assert rewrite_names(text, resolve) == rewritten


def test_a_service_that_does_not_exist_yet_is_named() -> None:
    with pytest.raises(UnresolvedNameError, match=r"waits for Service shop/later, which later\.shop\.svc names"):
        rewrite_names("http://later.shop.svc", resolve)


def test_an_unknown_service_in_a_mounted_text_stays_while_known_ones_are_rewritten() -> None:
    assert rewrite_names("later.shop.svc cache.shop.svc", resolve, leave_unknown=True) == "later.shop.svc 127.96.0.7"


def test_env_is_rendered_in_order_from_all_its_sources() -> None:
    container = {
        "name": "c",
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"prefix": "L_", "secretRef": {"name": "login"}}],
        "env": [
            {"name": "KV_REGION", "value": "us-east"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "URL", "value": "http://$(IP):$(KV_PORT)/$(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "EMPTY"},
            {"name": "USER", "valueFrom": {"secretKeyRef": {"name": "login", "key": "user"}}},
            {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": True}}},
        ],
    }
    assert variables(container, SOURCES) == {
        "KV_PORT": "8080",
        "KV_REGION": "us-east",
        "L_user": "ann",
        "IP": "127.64.1.2",
        "URL": "http://127.64.1.2:8080/$(LATER)",
        "LATER": "x",
        "EMPTY": "",
        "USER": "ann",
    }


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"envFrom": [{"configMapRef": {"name": "none"}}]}, "configmap 'none' not found; envFrom needs it"),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "pin"}}}]},
            "secret 'login' has no key 'pin', which env A needs",
        ),
        ({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {}}}]}, "env A: resourceFieldRef is not supported"),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.tolerations"}}}]},
            "fieldRef spec.tolerations is not supported; known are",
        ),
    ],
)
def test_what_env_lacks_is_named(container: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        variables({"name": "c", **container}, SOURCES)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.labels['a/b']", "x"),
        ("metadata.annotations['none']", ""),
        ("metadata.labels", 'a/b="x"'),
        ("metadata.namespace", "shop"),
        ("spec.nodeName", "eu-west-a"),
        ("status.hostIP", "127.32.0.1"),
    ],
)
def test_downward_api_fields(path: str, value: str) -> None:
    assert field(POD, path) == value


def test_arguments_are_command_and_args_expanded() -> None:
    assert arguments({"name": "c", "command": ["run"], "args": ["--on=$(IP)"]}, {"IP": "1.2.3.4"}) == [
        "run",
        "--on=1.2.3.4",
    ]


def test_a_container_without_a_command_is_told_why_it_cannot_run() -> None:
    with pytest.raises(ConfigError, match="container c needs a command"):
        arguments({"name": "c", "args": ["x"]}, {})


def test_references_are_all_config_maps_and_secrets_of_env() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "a"}}],
        "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}}, {"name": "Y", "value": ""}],
    }
    assert references([container]) == {("configMap", "a"), ("secret", "b")}


def test_binary_data_of_a_config_map_is_decoded() -> None:
    assert content("configMap", {"data": {"a": "x"}, "binaryData": {"b": "/w=="}}) == {"a": b"x", "b": b"\xff"}

"""The agent's small rules: back-off, probe thresholds, addresses, scrape targets, volumes, the end of a log."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kvdev.agent.addresses import Addresses
from kvdev.agent.container import RESTART_CAP_S, RESTART_FORGET_S, Backoff
from kvdev.agent.logs import tail_offset
from kvdev.agent.nodes import Node, lease, manifest, status
from kvdev.agent.probes import Threshold
from kvdev.agent.provisioner import PROVISIONER, SELECTED_NODE, is_to_be_removed, needs_volume, volume_of
from kvdev.agent.targets import targets


def test_restarts_wait_twice_as_long_each_time_up_to_a_cap() -> None:
    backoff = Backoff()
    assert [backoff.after(0.1) for _ in range(8)] == [0, 1, 2, 4, 8, 16, RESTART_CAP_S, RESTART_CAP_S]


def test_good_running_is_forgiven() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(0.1)
    assert backoff.after(RESTART_FORGET_S) == 0


def test_a_probe_speaks_when_enough_answers_in_a_row_agree() -> None:
    threshold = Threshold(successes=1, failures=3)
    answers = [True, True, False, False, True, False, False, False, False, True]
    told = [(index, threshold.verdict) for index, answer in enumerate(answers) if threshold.feed(answer)]
    assert told == [(0, True), (7, False), (9, True)]


def service(ip: str, **spec: Any) -> dict[str, Any]:
    return {"spec": {"clusterIP": ip, **spec}}


def test_a_pod_keeps_its_address_when_it_is_made_anew() -> None:
    addresses = Addresses("127.64", {}, {})
    first = addresses.of("shop", "db-0")
    addresses.release("shop", "db-0")
    assert addresses.of("shop", "db-0") == first
    assert Addresses("127.64", {}, {}).of("shop", "db-0") == first


def test_no_two_pods_share_an_address() -> None:
    addresses = Addresses("127.64", {}, {})
    given = [addresses.of("shop", f"p-{number}") for number in range(2000)]
    assert len(set(given)) == 2000
    assert all(address.startswith("127.64.") and address.split(".")[3] != "0" for address in given)


def test_a_known_address_is_kept_unless_it_is_taken() -> None:
    addresses = Addresses("127.64", {}, {})
    assert addresses.of("shop", "a", known="127.64.7.7") == "127.64.7.7"
    assert addresses.of("shop", "b", known="127.64.7.7") != "127.64.7.7"


def test_names_stand_for_cluster_addresses_pods_and_the_first_pod_of_a_headless_service() -> None:
    services = {
        ("shop", "web"): service("127.96.0.7"),
        ("shop", "db"): service("None", selector={"app": "db"}),
        ("shop", "out"): service("", type="ExternalName", externalName="example.org"),
    }
    pods = {("shop", f"db-{n}"): {"metadata": {"labels": {"app": "db", "n": str(n)}}} for n in (1, 0)}
    addresses = Addresses("127.64", services, pods)
    assert addresses.resolve("shop", "web", None) == "127.96.0.7"
    assert addresses.resolve("shop", "db", "db-1") == addresses.of("shop", "db-1")
    assert addresses.resolve("shop", "db", None) == addresses.of("shop", "db-0")
    assert addresses.resolve("shop", "out", None) == "example.org"
    assert addresses.resolve("shop", "none", "db-1") is None


def pod(name: str, *, ip: str = "127.64.0.1", phase: str = "Running", scrape: str = "true") -> dict[str, Any]:
    annotations = {"prometheus.io/scrape": scrape, "prometheus.io/port": "9090"}
    metadata = {
        "namespace": "shop",
        "name": name,
        "labels": {"kvcluster.dev/revision": "r1"},
        "annotations": annotations,
    }
    return {"metadata": metadata, "spec": {"nodeName": "n"}, "status": {"podIP": ip, "phase": phase}}


def test_targets_carry_the_pods_labels() -> None:
    labels = {"kvcluster_dev_revision": "r1", "namespace": "shop", "pod": "a", "node": "n"}
    assert targets([pod("a")]) == [{"targets": ["127.64.0.1:9090"], "labels": labels}]


def test_pods_that_finished_have_no_address_or_do_not_ask_are_no_targets() -> None:
    assert targets([pod("a", phase="Succeeded"), pod("b", ip=""), pod("c", scrape="false")]) == []


CLAIM: dict[str, Any] = {
    "metadata": {"namespace": "shop", "name": "data", "uid": "u1"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    "status": {"phase": "Pending"},
}
FOLDERS: dict[str, Any] = {"metadata": {"name": "standard"}, "provisioner": PROVISIONER, "reclaimPolicy": "Retain"}


def test_a_pending_claim_of_our_class_needs_a_volume() -> None:
    assert needs_volume(CLAIM, FOLDERS)
    assert not needs_volume(CLAIM, {**FOLDERS, "provisioner": "else"})
    assert not needs_volume({**CLAIM, "status": {"phase": "Bound"}}, FOLDERS)


def test_a_claim_that_waits_for_its_consumer_needs_one_once_a_node_is_selected() -> None:
    late = {**FOLDERS, "volumeBindingMode": "WaitForFirstConsumer"}
    selected = {**CLAIM, "metadata": {**CLAIM["metadata"], "annotations": {SELECTED_NODE: "n"}}}
    assert not needs_volume(CLAIM, late)
    assert needs_volume(selected, late)


@pytest.mark.parametrize(
    ("policy", "phase", "removed"),
    [("Delete", "Released", True), ("Retain", "Released", False), ("Delete", "Bound", False)],
)
def test_only_a_released_volume_with_policy_delete_goes(policy: str, phase: str, removed: bool) -> None:
    volume = volume_of(CLAIM, {**FOLDERS, "reclaimPolicy": policy}, Path("/v"))
    assert is_to_be_removed({**volume, "status": {"phase": phase}}) is removed
    assert not is_to_be_removed({**volume, "status": {"phase": phase}, "metadata": {"name": "someone's"}})


def test_a_volume_belongs_to_its_claim_alone() -> None:
    spec = volume_of(CLAIM, FOLDERS, Path("/v"))["spec"]
    assert (spec["claimRef"]["uid"], spec["accessModes"], spec["hostPath"]["path"]) == ("u1", ["ReadWriteMany"], "/v")


@pytest.mark.parametrize(
    ("text", "lines", "tail"),
    [
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\n", 9, b"a\nb\n"),
        (b"a\nb\n", 0, b""),
        (b"a\nb\n", None, b"a\nb\n"),
        (b"", 3, b""),
        (b"x" * 100_000 + b"\n" + b"y" * 100_000 + b"\nz\n", 2, b"y" * 100_000 + b"\nz\n"),
    ],
)
def test_the_tail_of_a_log_is_its_last_lines(text: bytes, lines: int | None, tail: bytes) -> None:
    assert text[tail_offset(io.BytesIO(text), lines) :] == tail


def test_a_node_tells_its_place_and_where_its_logs_are() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    node = Node("eu-west-a", "eu-west", "a", "127.32.0.1")
    labels = manifest(node)["metadata"]["labels"]
    assert labels["topology.kubernetes.io/region"] == "eu-west"
    assert labels["topology.kubernetes.io/zone"] == "a"
    assert status(node, moment)["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250
    assert lease(node, moment)["spec"]["renewTime"] == "2026-01-01T00:00:00.000000Z"

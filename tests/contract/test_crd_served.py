"""What the API server makes of a KVCluster: defaults filled in, transitions refused, status kept as it was dumped."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from terminal import Kubectl

from kvoperator.api.spec import KVClusterSpec
from kvoperator.api.status import (
    Condition,
    ConditionStatus,
    Counts,
    Hold,
    KVClusterStatus,
    Outcome,
    Phase,
    Refusal,
    RegionLatency,
    RegionStatus,
    Revision,
    RolloutStatus,
    Verdict,
)

pytestmark = pytest.mark.real

GOOD = Path(__file__).parents[1] / "manifests" / "good"
NOW = datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)


@pytest.fixture
def demo(kubectl: Kubectl) -> Iterator[str]:
    """The smallest KVCluster, created."""
    kubectl("create", "-f", str(GOOD / "smallest.yaml")).check_returncode()
    yield "kvcluster/demo"
    kubectl("delete", "kvcluster/demo").check_returncode()


def stored(kubectl: Kubectl, name: str) -> Any:
    return json.loads(kubectl("get", name, "-o", "json").stdout)


def test_defaults_are_those_of_the_models(kubectl: Kubectl, demo: str) -> None:
    written = {"release": {"image": "kvservice:1.0.0"}, "regions": [{"name": "eu-west", "zones": ["a", "b"]}]}
    model = KVClusterSpec.model_validate(written).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert stored(kubectl, demo)["spec"] == model


def test_a_volume_may_grow(kubectl: Kubectl, demo: str) -> None:
    answer = resize(kubectl, demo, "1025Mi")
    assert answer.returncode == 0, answer.stderr


def test_a_volume_does_not_shrink(kubectl: Kubectl, demo: str) -> None:
    answer = resize(kubectl, demo, "1023Mi")
    assert "1023Mi is smaller than 1Gi, which it was: a volume may grow, never shrink" in answer.stderr


@pytest.fixture
def on_cassandra(kubectl: Kubectl) -> Iterator[str]:
    """A KVCluster with storage.cassandra, created."""
    kubectl("create", "-f", str(GOOD / "cassandra.yaml")).check_returncode()
    yield "kvcluster/demo"
    kubectl("delete", "kvcluster/demo").check_returncode()


KEPT = "the copies there are would not follow by themselves"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"storage": {"cassandra": None, "embedded": {}}},
            "cassandra cannot become embedded: the records would be left",
        ),
        ({"storage": {"cassandra": {"nodesPerRegion": 7}}}, "7 is not 6, which it was: data would have to move"),
        ({"storage": {"cassandra": {"replicationFactor": 5}}}, f"5 is not 3, which it was: {KEPT}"),
        ({"storage": {"cassandra": {"size": "201Gi"}}}, "201Gi is not 200Gi, which it was: a StatefulSet keeps"),
        (
            {"regions": [{"name": name, "zones": ["a"]} for name in ("eu-west", "us-east", "ap-south")]},
            "region ap-south",
        ),
    ],
    ids=["kind", "nodes", "copies", "size", "region"],
)
def test_what_cassandra_could_not_follow_is_refused(
    kubectl: Kubectl, on_cassandra: str, change: dict[str, Any], said: str
) -> None:
    answer = kubectl("patch", on_cassandra, "--type=merge", "--dry-run=server", "-p", json.dumps({"spec": change}))
    assert said in answer.stderr


def test_memory_image_and_a_region_less_are_no_trouble(kubectl: Kubectl, on_cassandra: str) -> None:
    cassandra = {"memory": "8Gi", "image": "cassandra:5.0.1"}
    fewer = {"storage": {"cassandra": cassandra}, "regions": [{"name": "eu-west", "zones": ["a"]}]}
    answer = kubectl("patch", on_cassandra, "--type=merge", "--dry-run=server", "-p", json.dumps({"spec": fewer}))
    assert answer.returncode == 0, answer.stderr


def resize(kubectl: Kubectl, name: str, size: str) -> subprocess.CompletedProcess[str]:
    patch = {"spec": {"storage": {"embedded": {"size": size}}}}
    return kubectl("patch", name, "--type=merge", "--dry-run=server", "-p", json.dumps(patch))


def full_status() -> KVClusterStatus:
    """A status with every field set, numbers and times at their awkward ends."""
    revision = Revision(name="a1b2c3", image="kvservice:1.0.0", config={"KV_PORT": "8080"}, secrets={"auth": "who"})
    verdict = Verdict(
        region="eu-west",
        gate="latency",
        outcome=Outcome.NO_DATA,
        at=NOW,
        canary=Counts(total=1e9 + 0.5, bad=0),
        stable=Counts(total=0, bad=1 / 3),
        evidence=-1e-300,
        bound=2,
        query="increase(x[1m])",
        message="no data",
    )
    rollout = RolloutStatus(
        phase=Phase.ROLLING_BACK,
        stable=revision,
        canary=revision,
        step=2,
        traffic=25,
        phase_started_at=NOW,
        step_started_at=NOW.replace(microsecond=0),
        looked_at=NOW,
        unready_since=NOW,
        no_data_since=NOW,
        hold=Hold(reason="NoData", message="nobody asks", since=NOW),
        paused_by="somebody",
        refused=Refusal(revision="a1b2c3", image="kvservice:1.0.0", reason="Latency", message="slow", at=NOW),
        verdicts=[verdict] * 80,
        last_request="id",
    )
    latency = RegionLatency(qps=1e7, predicted_p95_ms=0.12, observed_p95_ms=60_000, at=NOW)
    ready = Condition(
        type="Ready",
        status=ConditionStatus.TRUE,
        reason="AllRegionsServe",
        message="1 of 1",
        last_transition_time=NOW,
        observed_generation=1,
    )
    return KVClusterStatus(
        observed_generation=1,
        phase=Phase.ROLLING_BACK,
        release="kvservice:1.0.0",
        regions_ready="1/1",
        traffic="25%",
        regions=[RegionStatus(name="eu-west", replicas=2, ready=2, wanted=2, weights={"a1b2c3": 100}, latency=latency)],
        rollout=rollout,
        conditions=[ready],
    )


@pytest.mark.parametrize("status", [KVClusterStatus(), full_status()], ids=["fresh", "full"])
def test_a_status_comes_back_as_it_was_dumped(kubectl: Kubectl, demo: str, status: KVClusterStatus) -> None:
    dumped = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    apply_status(kubectl, dumped)
    kept = stored(kubectl, demo)["status"]
    assert kept == dumped
    assert KVClusterStatus.model_validate(kept) == status


def apply_status(kubectl: Kubectl, status: dict[str, Any]) -> None:
    manifest = {"apiVersion": "kvcluster.dev/v1alpha1", "kind": "KVCluster", "metadata": {"name": "demo"}}
    arguments = ("apply", "--server-side", "--subresource=status", "--field-manager=kvoperator", "-f", "-")
    answer = kubectl(*arguments, stdin=json.dumps({**manifest, "status": status}))
    assert answer.returncode == 0, answer.stderr


def test_the_columns_tell_a_person_what_is_going_on(kubectl: Kubectl, demo: str) -> None:
    apply_status(kubectl, full_status().model_dump(mode="json", by_alias=True, exclude_none=True))
    head, row = kubectl("get", "kvc").stdout.splitlines()
    assert head.split() == ["NAME", "READY", "REGIONS", "RELEASE", "PHASE", "TRAFFIC", "AGE"]
    assert row.split()[:-1] == ["demo", "True", "1/1", "kvservice:1.0.0", "RollingBack", "25%"]

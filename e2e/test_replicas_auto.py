"""The operator sizes regions by the planner, and sets what it predicts beside what is measured."""

import json
from typing import Any

import pytest
import yaml

from kvoperator.api.spec import KVClusterSpec
from kvoperator.core.sizing import sizes
from world import GOOD, Cluster, manifest

QUIET, BUSY = {"peakQPS": 200}, {"peakQPS": 1500}


def planned(cluster: Cluster, workload: dict[str, int]) -> dict[str, int]:
    """Region -> pods, as the planner says."""
    spec = KVClusterSpec.model_validate(sized(cluster, workload)["spec"])
    return {region: size.pods or 0 for region, size in sizes(spec).items()}


def sized(cluster: Cluster, workload: dict[str, int]) -> dict[str, Any]:
    wanted = manifest(cluster.namespace, GOOD, {})
    regions = [region | {"replicas": "auto"} for region in wanted["spec"]["regions"]]
    return wanted | {"spec": wanted["spec"] | {"regions": regions, "workload": workload}}


@pytest.fixture
def auto(cluster: Cluster) -> Cluster:
    """A KVCluster that is sized for little traffic, and serves."""
    cluster.world.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(sized(cluster, QUIET)))
    cluster.wait_phase("Done")
    return cluster


def ready(cluster: Cluster) -> dict[str, int]:
    return {region["name"]: region["ready"] for region in cluster.status["regions"]}


def test_a_region_has_the_pods_that_the_planner_says_and_follows_the_workload(auto: Cluster) -> None:
    assert ready(auto) == planned(auto, QUIET)
    stable = auto.rollout["stable"]["name"]

    patch = json.dumps({"spec": {"workload": BUSY}})
    auto.world.kubectl("patch", "kvcluster", "kv", "-n", auto.namespace, "--type=merge", "-p", patch)

    more = planned(auto, BUSY)
    assert sum(more.values()) > sum(planned(auto, QUIET).values())
    auto.wait("sized anew", lambda: ready(auto) == more)
    assert (auto.rollout["phase"], auto.rollout["stable"]["name"]) == ("Done", stable)


def test_traffic_is_set_beside_what_the_planner_predicts(auto: Cluster) -> None:
    auto.load()

    def compared() -> list[dict[str, Any]] | None:
        conditions = {one["type"]: one for one in auto.status["conditions"]}
        told = conditions.get("AsPredicted", {}).get("reason") in ("Agrees", "PartsFromModel")
        return [region["latency"] for region in auto.status["regions"]] if told else None

    seen = auto.wait("predicted and observed", compared, within_s=300)

    assert all(one["qps"] > 0 and one["predictedP95Ms"] > 0 and one["observedP95Ms"] > 0 for one in seen)
    assert "p95 predicted" in auto.world.kvctl("rollout", "status", "kv", "-n", auto.namespace)

"""A converged cluster costs nothing, and what others do to its objects is mended or shown."""

import json
import time
from datetime import UTC, datetime

from world import Cluster


def test_a_converged_cluster_costs_no_write_in_a_minute(cluster: Cluster) -> None:
    begun = datetime.now(UTC)
    cluster.apply()
    cluster.wait_phase("Done")
    cluster.load()
    settled = datetime.now(UTC)

    time.sleep(60)

    assert cluster.world.writes(cluster.namespace, since=settled) == []
    assert cluster.world.writes(cluster.namespace, since=begun)  # the audit log does tell


def test_what_somebody_deletes_is_made_again_and_a_foreign_label_survives(ready: Cluster) -> None:
    name = f"kv-eu-west-{ready.rollout['stable']['name']}"
    route = "kv-eu-west"
    ready.world.kubectl("label", "httproute", route, "-n", ready.namespace, "team=storage")

    ready.world.kubectl("delete", "service", name, "-n", ready.namespace)

    ready.wait(
        "made again",
        lambda: name in [i["metadata"]["name"] for i in ready.world.get("services", ready.namespace)["items"]],
    )
    assert ready.world.get("httproute", ready.namespace, route)["metadata"]["labels"]["team"] == "storage"


def test_a_field_that_somebody_else_took_over_is_shown_not_forced(ready: Cluster) -> None:
    patch = json.dumps({"spec": {"replicas": 3}})
    name = f"kv-eu-west-{ready.rollout['stable']['name']}"
    ready.world.kubectl(
        "patch", "deployment", name, "-n", ready.namespace, "--type=merge", "--field-manager=somebody", "-p", patch
    )

    def stalled() -> str | None:
        conditions = {condition["type"]: condition for condition in ready.status["conditions"]}
        found = conditions["Stalled"]
        return found["message"] if found["reason"] == "FieldConflict" else None

    message = ready.wait("stalled", stalled)
    assert "somebody" in message
    assert ".spec.replicas" in message

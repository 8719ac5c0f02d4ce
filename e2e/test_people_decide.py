"""People steer a rollout with requests: pause, resume, promote, abort, retry. A refused request says why."""

import subprocess
import time

import pytest

from world import BETTER, GOOD, Cluster

HOLD_S = 4  # of each step


def test_a_paused_rollout_waits_for_resume(cluster: Cluster) -> None:
    cluster.apply()
    cluster.wait_phase("Done")
    cluster.load()
    cluster.release(BETTER)
    cluster.wait_step(0)

    said = cluster.world.kvctl("rollout", "pause", "kv", "-n", cluster.namespace, "--as", "ann")
    held = cluster.wait(
        "held", lambda: (cluster.rollout.get("hold") or {}).get("reason") == "Paused" and cluster.rollout
    )

    assert "pause" in said.lower()
    assert held["pausedBy"] == "ann"
    time.sleep(2 * HOLD_S)  # nothing is to happen, which no condition could tell
    assert cluster.rollout["step"] == held["step"]
    cluster.world.kvctl("rollout", "resume", "kv", "-n", cluster.namespace)
    assert cluster.wait_phase("Done", "RolledBack")["stable"]["image"] == BETTER


def test_promote_abort_and_retry(cluster: Cluster) -> None:
    cluster.apply(steps=[{"traffic": 10, "hold": "10m"}], bake="10m")
    cluster.wait_phase("Done")
    cluster.load()
    cluster.release(BETTER)
    cluster.wait_step(0)

    cluster.world.kvctl("rollout", "promote", "kv", "-n", cluster.namespace)
    cluster.wait("all traffic", lambda: cluster.canary_weight() == 100)
    cluster.world.kvctl("rollout", "abort", "kv", "-n", cluster.namespace)
    assert cluster.wait_phase("RolledBack")["refused"]["reason"] == "Aborted"
    assert (cluster.rollout["stable"]["image"], cluster.canary_weight()) == (GOOD, 0)

    cluster.world.kvctl("rollout", "retry", "kv", "-n", cluster.namespace)
    assert cluster.wait_step(0)["canary"]["image"] == BETTER


def test_a_request_that_cannot_be_met_says_why(ready: Cluster) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        ready.world.kvctl("rollout", "promote", "kv", "-n", ready.namespace)

    assert "Done" in refused.value.stderr
    assert "Traceback" not in refused.value.stderr

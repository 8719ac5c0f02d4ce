"""Nobody sends anything: a release is held as NoData; only the deadline policy ends that."""

from world import BETTER, GOOD, Cluster


def test_without_traffic_a_release_is_held_until_the_deadline_policy_ends_it(cluster: Cluster) -> None:
    cluster.apply(noDataDeadline="15s")
    cluster.wait_phase("Done")

    cluster.release(BETTER)
    held = cluster.wait(
        "held", lambda: (cluster.rollout.get("hold") or {}).get("reason") == "NoData" and cluster.rollout
    )

    assert (held["phase"], held["step"]) == ("Stepping", 0)
    assert {verdict["outcome"] for verdict in held["verdicts"]} == {"NoData"}
    after = cluster.wait_phase("Done", "RolledBack")
    assert after["refused"]["reason"] == "NoData"
    assert after["stable"]["image"] == GOOD


def test_without_traffic_the_policy_may_also_be_to_freeze(cluster: Cluster) -> None:
    cluster.apply(noDataDeadline="4s", onNoData="freeze")
    cluster.wait_phase("Done")

    cluster.release(BETTER)
    cluster.wait_phase("Frozen")
    assert cluster.canary_weight() == 10

    cluster.world.kvctl("rollout", "abort", "kv", "-n", cluster.namespace)
    assert cluster.wait_phase("RolledBack")["stable"]["image"] == GOOD

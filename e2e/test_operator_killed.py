"""The operator is killed in the middle of a step: the end is the same, and no hold is shortened."""

from datetime import datetime, timedelta

from world import BETTER, SLOW, Cluster

HOLD = timedelta(seconds=12)


def test_killed_mid_step_the_hold_is_not_shortened(cluster: Cluster) -> None:
    cluster.apply(steps=[{"traffic": 10, "hold": "12s"}, {"traffic": 50, "hold": "4s"}])
    cluster.wait_phase("Done")
    cluster.load()
    cluster.release(BETTER)
    began = datetime.fromisoformat(cluster.wait_step(0)["stepStartedAt"])

    cluster.world.kill_operator()
    again = cluster.wait(
        "the step goes on", lambda: cluster.rollout["step"] == 1 and cluster.rollout.get("stepStartedAt")
    )

    assert datetime.fromisoformat(again) - began >= HOLD
    assert cluster.wait_phase("Done", "RolledBack")["stable"]["image"] == BETTER


def test_killed_mid_step_a_slow_release_is_still_rolled_back(cluster: Cluster) -> None:
    cluster.apply(steps=[{"traffic": 10, "hold": "12s"}])
    cluster.wait_phase("Done")
    cluster.release(SLOW)  # no load yet: nothing can be judged before the kill
    cluster.wait_step(0)

    cluster.world.kill_operator()
    cluster.load()

    assert cluster.wait_phase("Done", "RolledBack")["refused"]["image"] == SLOW
    assert cluster.canary_weight() == 0

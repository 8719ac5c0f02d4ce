"""The canary's pods are killed while they have traffic: their weight goes at once, clients see no burst of errors."""

from world import BETTER, Cluster


def test_a_canary_that_loses_its_pods_loses_its_weight(cluster: Cluster) -> None:
    cluster.apply(steps=[{"traffic": 50, "hold": "20s"}])
    cluster.wait_phase("Done")
    load = cluster.load()
    cluster.release(BETTER)
    canary = cluster.wait_step(0)["canary"]["name"]

    killed = cluster.world.kill_pods(cluster.namespace, f"kv-eu-west-{canary}")
    cluster.wait("the weight is gone", lambda: cluster.weights()["eu-west"].get(canary, 0) == 0)

    assert killed
    assert cluster.wait_phase("Done", "RolledBack", within_s=150)["stable"]["image"] == BETTER
    report = load.stop()
    # Only what was inside the killed processes may fail: at 20 requests/s a region, a handful.
    assert report["total"]["failed"] <= 10

"""The canary's pods are killed while they have traffic: their weight goes, and from then on no request fails."""

from world import BETTER, Cluster


def test_a_canary_that_loses_its_pods_loses_its_weight(cluster: Cluster) -> None:
    cluster.apply(steps=[{"traffic": 50, "hold": "20s"}], gates=["availability"])  # how fast it is, is another test's
    cluster.wait_phase("Done")
    load = cluster.load()
    cluster.release(BETTER)
    canary = cluster.wait_step(0)["canary"]["name"]

    killed = cluster.world.kill_pods(cluster.namespace, f"kv-eu-west-{canary}")
    cluster.wait("the weight is gone", lambda: cluster.weights()["eu-west"].get(canary, 0) == 0)
    until_then = load.stop()
    after = cluster.load()

    assert killed
    assert cluster.wait_phase("Done", "RolledBack", within_s=150)["stable"]["image"] == BETTER
    # What the killed pods were sent until then fails, however much the operator's pace makes it: but with an error
    # that is one, and in no other region.
    assert set(until_then["regions"]["eu-west"]["errors"]) <= {"http 503", "connection"}
    assert until_then["regions"]["us-east"]["failed"] == 0
    assert after.stop()["total"]["failed"] == 0

"""A slow release is rolled back by itself: never more than its share, the spec untouched, the reason in status."""

from world import GOOD, SLOW, Cluster


def test_a_slow_release_is_rolled_back_and_says_why(ready: Cluster) -> None:
    load = ready.load()
    stable = ready.rollout["stable"]["name"]

    ready.release(SLOW)
    shares: set[int] = set()

    def rolled_back() -> bool:
        shares.update(
            region.get(revision, 0) for region in ready.weights().values() for revision in region if revision != stable
        )
        return bool(ready.rollout["phase"] == "RolledBack")

    ready.wait("rolled back", rolled_back)
    load.stop()

    found = ready.world.get("kvcluster", ready.namespace, "kv")
    refused = found["status"]["rollout"]["refused"]
    assert found["spec"]["release"]["image"] == SLOW
    assert found["status"]["rollout"]["stable"]["image"] == GOOD
    assert max(shares) == 10
    assert refused["image"] == SLOW
    assert refused["reason"] == "GateFailed"
    assert "latency" in refused["message"]
    assert ready.weights() == {region: {stable: 100} for region in ("eu-west", "us-east")}


def test_a_release_that_cannot_start_is_rolled_back_at_the_deadline(cluster: Cluster) -> None:
    cluster.apply(progressDeadline="5s")
    cluster.wait_phase("Done")

    cluster.release("kvservice:9.9.9-does-not-exist")
    refused = cluster.wait_phase("RolledBack")["refused"]

    assert refused["reason"] == "CanaryNotReady"
    assert cluster.rollout["stable"]["image"] == GOOD

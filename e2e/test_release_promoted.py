"""A good release is promoted by itself; nobody notices."""

from world import BETTER, Cluster


def test_a_good_release_is_promoted_and_the_judged_pods_serve(ready: Cluster) -> None:
    load = ready.load()
    before = ready.rollout["stable"]["name"]

    ready.release(BETTER)
    ready.wait("baking", lambda: ready.rollout["phase"] == "Baking")
    judged = ready.pods(ready.rollout["canary"]["name"])
    promoted = ready.wait_phase("Done", "RolledBack")["stable"]

    assert promoted["image"] == BETTER
    ready.wait("the old revision's pods are gone", lambda: ready.pods(before) == {})
    assert ready.pods(promoted["name"]) == judged
    assert ready.weights() == {region: {promoted["name"]: 100} for region in ("eu-west", "us-east")}
    total = load.stop()["total"]
    assert total["requests"] > 0
    assert (total["failed"], total["errors"]) == (0, {})  # wrong and lost values are errors too

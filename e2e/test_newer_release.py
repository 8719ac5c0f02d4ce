"""A newer release during a rollout starts at 0 %, judged against the last good one."""

import pytest

from world import BETTER, GOOD, SLOW, Cluster


@pytest.mark.parametrize(("newer", "ends_as"), [(BETTER, BETTER), (SLOW, GOOD)], ids=["good", "bad"])
def test_a_newer_release_starts_over_against_the_last_good_one(ready: Cluster, newer: str, ends_as: str) -> None:
    ready.load()
    first = SLOW if newer == BETTER else BETTER
    ready.release(first)
    overtaken = ready.wait("a canary", lambda: ready.rollout.get("canary"))["name"]
    ready.wait("the first release has traffic", lambda: any(overtaken in region for region in ready.weights().values()))

    ready.release(newer)
    rollout = ready.wait(
        "the newer one is the canary", lambda: (r := ready.rollout).get("canary", {}).get("image") == newer and r
    )

    assert rollout["step"] == 0
    assert rollout["stable"]["image"] == GOOD
    ready.wait(
        "the first one has no traffic", lambda: not any(overtaken in region for region in ready.weights().values())
    )
    assert ready.wait_phase("Done", "RolledBack")["stable"]["image"] == ends_as
    ready.wait("the first one's pods are gone", lambda: ready.pods(overtaken) == {})

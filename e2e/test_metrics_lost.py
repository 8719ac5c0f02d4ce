"""Prometheus is gone for a minute mid-step: held, with the reason in status; then the good release goes on."""

import asyncio
import time

from kvdev import cluster as embedded
from world import BETTER, Cluster


def test_a_good_release_is_held_while_prometheus_is_down_and_promoted_after(ready: Cluster) -> None:
    load = ready.load()
    ready.release(BETTER)
    ready.wait_step(0)

    asyncio.run(embedded.stop_part(ready.world.state.name, "prometheus"))
    try:
        hold = ready.wait("held", lambda: ready.rollout.get("hold"))
        share = ready.canary_weight()
        outage_ends = time.monotonic() + 60
        seen = {
            (ready.rollout["phase"], ready.canary_weight())
            for _ in iter(
                lambda: time.sleep(1) or time.monotonic() < outage_ends,  # type: ignore[func-returns-value]  # for `or`
                False,
            )
        }
    finally:
        asyncio.run(embedded.start_part(ready.world.state.name, "prometheus"))

    assert hold["reason"] == "MetricsUnavailable"
    assert seen == {("Stepping", share)}
    assert ready.wait_phase("Done", "RolledBack", within_s=150)["stable"]["image"] == BETTER
    assert load.stop()["total"]["failed"] == 0

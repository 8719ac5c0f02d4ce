"""A pass with a workload: `auto` becomes pods, a look becomes status; a cluster that stays as it is costs nothing."""

from datetime import timedelta
from typing import Any

import pytest

from kvoperator.core.latency import LOOK_EVERY

SHOP = ("KVCluster", "web", "shop")
Object = dict[str, Any]
WORKLOAD = {"peakQPS": 3000, "service": {"podRead": {"meanMs": 1}}}


@pytest.fixture
def spec(spec: Object) -> Object:
    """Sized by the planner, on a store that can take it."""
    regions = [{"name": name, "zones": ["a", "b", "c"], "replicas": "auto"} for name in ("eu-west", "us-east")]
    stores = {"external": {"contactPoints": {"eu-west": ["db"], "us-east": ["db"]}}}
    return spec | {"regions": regions, "storage": stores, "workload": WORKLOAD, "cache": {"memory": "2Gi"}}


def asked(world: Any) -> dict[str, int]:
    """Region -> pods asked of the stable revision's Deployment."""
    stable = world.objects[SHOP]["status"]["rollout"]["stable"]["name"]
    names = {region: f"shop-{region}-{stable}" for region in ("eu-west", "us-east")}
    return {region: world.objects["Deployment", "web", name]["spec"]["replicas"] for region, name in names.items()}


def condition(world: Any, type_: str) -> tuple[str, str] | None:
    found = {one["type"]: (one["status"], one["reason"]) for one in world.objects[SHOP]["status"]["conditions"]}
    return found.get(type_)


def latency(world: Any) -> list[Object | None]:
    return [region.get("latency") for region in world.objects[SHOP]["status"]["regions"]]


def work(world: Any, peak_qps: int, image: str = "kvservice:1") -> None:
    workload = WORKLOAD | {"peakQPS": peak_qps}
    world.edit(SHOP, lambda shop: shop["spec"].update(workload=workload, release={"image": image}))


async def test_the_regions_get_the_pods_that_the_planner_says(world: Any) -> None:
    shown = {region["name"]: region["replicas"] for region in world.objects[SHOP]["status"]["regions"]}
    assert shown == asked(world)
    assert min(shown.values()) >= 3
    assert condition(world, "Sized") == ("True", "PlanHolds")
    assert condition(world, "Ready") == ("True", "Serving")


async def test_a_larger_peak_gets_more_pods_and_no_new_revision(world: Any) -> None:
    before, stable = asked(world), world.objects[SHOP]["status"]["rollout"]["stable"]
    work(world, 12000)

    await world.operator().go_on(seconds=10)

    assert all(count > before[region] for region, count in asked(world).items())
    status = world.objects[SHOP]["status"]
    assert (status["rollout"]["stable"], status["phase"]) == (stable, "Done")


async def test_a_smaller_peak_waits_until_the_release_under_way_is_done(world: Any) -> None:
    work(world, 12000)
    operator = world.operator()
    await operator.go_on(seconds=10)
    many = asked(world)
    work(world, 12000, image="kvservice:2")
    await operator.go_on(seconds=5)
    work(world, 3000, image="kvservice:2")

    await operator.go_on(seconds=5)
    assert world.objects[SHOP]["status"]["phase"] == "Stepping"
    assert asked(world) == many

    await operator.go_on(seconds=120)
    assert world.objects[SHOP]["status"]["release"] == "kvservice:2"
    assert all(count < many[region] for region, count in asked(world).items())


async def test_a_larger_peak_on_the_way_costs_the_release_its_hold_and_nothing_more(world: Any) -> None:
    work(world, 3000, image="kvservice:2")
    operator = world.operator()
    await operator.go_on(seconds=5)
    work(world, 12000, image="kvservice:2")

    await operator.go_on(seconds=180)

    assert world.objects[SHOP]["status"]["release"] == "kvservice:2"
    assert "RollingBack" not in world.events


async def test_a_peak_that_is_out_of_reach_is_told_and_serves_on(world: Any) -> None:
    work(world, 1_000_000)

    await world.operator().go_on(seconds=10)

    assert condition(world, "Sized") == ("False", "OutOfReach")
    assert set(asked(world).values()) == {100}
    assert condition(world, "Ready") == ("True", "Serving")
    assert world.events.count("OutOfReach") == 1


async def test_traffic_is_compared_with_the_model_after_two_looks(world: Any) -> None:
    world.qps, world.p95 = {"eu-west": 900.0, "us-east": 700.0}, {"eu-west": 0.008, "us-east": 0.009}

    await world.operator().go_on(seconds=120)

    seen, _ = latency(world)
    assert seen is not None
    assert (seen["qps"], seen["observedP95Ms"]) == (900, 8)
    assert seen["predictedP95Ms"] > 1
    assert condition(world, "AsPredicted") == ("True", "Agrees")


async def test_a_region_that_is_far_slower_is_told_once_and_stays_ready(world: Any) -> None:
    world.qps, world.p95 = {"eu-west": 900.0, "us-east": 700.0}, {"eu-west": 0.9, "us-east": 0.009}

    await world.operator().go_on(seconds=1200)

    assert condition(world, "AsPredicted") == ("False", "PartsFromModel")
    assert condition(world, "Ready") == ("True", "Serving")
    assert world.events.count("PartsFromModel") == 1


async def test_without_traffic_nothing_is_observed(world: Any) -> None:
    world.qps = {"eu-west": 0.0, "us-east": 0.0}

    await world.operator().go_on(seconds=180)

    assert [one and one.keys() for one in latency(world)] == [{"qps", "at"}, {"qps", "at"}]
    assert condition(world, "AsPredicted") == ("Unknown", "NoTraffic")


async def test_steady_traffic_costs_two_queries_a_minute_and_no_write(world: Any) -> None:
    world.qps, world.p95 = {"eu-west": 900.0, "us-east": 700.0}, {"eu-west": 0.008, "us-east": 0.009}
    operator = world.operator()
    await operator.go_on(seconds=180)
    world.writes.clear()
    world.queries.clear()

    await operator.go_on(seconds=600)

    assert world.writes == []
    assert len(world.queries) == pytest.approx(20, abs=2)


async def test_a_restart_neither_flips_the_condition_nor_writes(world: Any) -> None:
    world.qps, world.p95 = {"eu-west": 900.0, "us-east": 700.0}, {"eu-west": 0.008, "us-east": 0.009}
    await world.operator().go_on(seconds=180)
    world.writes.clear()

    await world.operator().go_on(seconds=180)

    assert world.writes == []


async def test_without_a_workload_nobody_looks_and_what_was_seen_goes(world: Any) -> None:
    world.qps, world.p95 = {"eu-west": 900.0, "us-east": 700.0}, {"eu-west": 0.008, "us-east": 0.009}
    operator = world.operator()
    await operator.go_on(seconds=180)
    fixed = [region | {"replicas": 3} for region in world.objects[SHOP]["spec"]["regions"]]
    world.edit(SHOP, lambda shop: (shop["spec"].update(regions=fixed), shop["spec"].pop("workload")))
    world.queries.clear()

    await operator.go_on(seconds=180)

    assert world.queries == []
    assert (latency(world), condition(world, "AsPredicted"), condition(world, "Sized")) == ([None, None], None, None)


async def test_prometheus_down_keeps_the_last_numbers(world: Any) -> None:
    world.qps, world.p95 = {"eu-west": 900.0, "us-east": 700.0}, {"eu-west": 0.008, "us-east": 0.009}
    operator = world.operator()
    await operator.go_on(seconds=180)
    seen = latency(world)
    world.answers = False

    await operator.go_on(seconds=180)

    assert latency(world) == seen
    assert condition(world, "AsPredicted") == ("Unknown", "NoData")


async def test_a_pass_between_two_looks_does_not_look(world: Any) -> None:
    operator = world.operator()
    await operator.look()
    world.queries.clear()

    world.time += LOOK_EVERY - timedelta(seconds=1)
    await operator.look()

    assert world.queries == []

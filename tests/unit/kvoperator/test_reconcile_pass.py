"""What one pass does with what it sees: nothing when all is well, and the least when something is not."""

from datetime import timedelta
from typing import Any

import pytest

from kvoperator.errors import ConflictError, StatusUnreadableError, UnreachableError

SHOP = ("KVCluster", "web", "shop")
Object = dict[str, Any]


def condition(world: Any, type_: str) -> tuple[str, str]:
    found = next(one for one in world.objects[SHOP]["status"]["conditions"] if one["type"] == type_)
    return found["status"], found["reason"]


def release(world: Any, image: str) -> None:
    world.edit(SHOP, lambda shop: shop["spec"].update(release={"image": image}))


def canary(world: Any) -> str:
    name: str = world.objects[SHOP]["status"]["rollout"]["canary"]["name"]
    return name


async def in_step(world: Any) -> Any:
    """A release is under way and has its share in both regions."""
    release(world, "kvservice:2")
    operator = world.operator()
    while world.objects[SHOP]["status"]["rollout"].get("stepStartedAt") is None:
        await operator.go_on(seconds=1)
    return operator


async def test_an_idle_pass_writes_nothing_asks_nothing_and_waits_for_nothing(world: Any) -> None:
    operator = world.operator()
    world.writes.clear()
    world.queries.clear()

    agains = [await operator.look() for _ in range(3)]

    assert (world.writes, world.queries, {again.at for again in agains}) == ([], [], {None})


async def test_a_canary_that_loses_its_pods_loses_its_weight_in_one_pass(world: Any) -> None:
    operator = await in_step(world)
    lost = ("Deployment", "web", f"shop-eu-west-{canary(world)}")
    world.edit(lost, lambda deployment: deployment.update(status={"readyReplicas": 0}))

    await operator.look()

    routes = {
        name: one["spec"]["rules"][0]["backendRefs"]
        for (kind, _, name), one in world.objects.items()
        if kind == "HTTPRoute"
    }
    weights = {
        name: {one["weight"] for one in backends if one["name"].endswith(canary(world))}
        for name, backends in routes.items()
    }
    assert weights == {"shop-eu-west": {0}, "shop-us-east": {25}}


async def test_a_revision_keeps_its_pods_until_every_gateway_has_confirmed_that_it_has_no_share(world: Any) -> None:
    operator = await in_step(world)
    gone = canary(world)
    release(world, "kvservice:1")

    await operator.look()
    await operator.look()
    assert ("Deployment", "web", f"shop-eu-west-{gone}") in world.objects

    await operator.go_on(seconds=30)
    assert ("Deployment", "web", f"shop-eu-west-{gone}") not in world.objects


async def test_prometheus_down_holds_the_step_and_neither_passes_nor_fails_it(world: Any) -> None:
    operator = await in_step(world)
    world.answers = False

    await operator.go_on(seconds=60)

    assert world.objects[SHOP]["status"]["phase"] == "Stepping"
    assert condition(world, "Reconciling") == ("True", "MetricsUnavailable")
    world.answers = True
    await operator.go_on(seconds=120)
    assert world.objects[SHOP]["status"]["release"] == "kvservice:2"


async def test_a_conflict_is_shown_and_everything_else_is_done(world: Any) -> None:
    world.refuse["PodDisruptionBudget"] = ConflictError("apply", (".spec.maxUnavailable",), ("argocd",), by_hand=False)
    for region in ("eu-west", "us-east"):
        del world.objects["PodDisruptionBudget", "web", f"shop-{region}"]
    release(world, "kvservice:2")
    operator = world.operator()

    again = await operator.look()

    assert again.failed
    assert condition(world, "Stalled") == ("True", "FieldConflict")
    assert ("Deployment", "web", f"shop-eu-west-{canary(world)}") in world.objects
    world.refuse.clear()
    await operator.look()
    assert condition(world, "Stalled")[0] == "False"


async def test_a_conflict_that_stays_is_written_once(world: Any) -> None:
    world.refuse["PodDisruptionBudget"] = ConflictError("apply", (".spec.maxUnavailable",), ("argocd",), by_hand=False)
    for region in ("eu-west", "us-east"):
        del world.objects["PodDisruptionBudget", "web", f"shop-{region}"]
    operator = world.operator()
    await operator.look()
    world.writes.clear()

    await operator.look()

    assert world.writes == []


async def test_an_invalid_spec_stalls_and_touches_nothing(world: Any) -> None:
    world.edit(
        SHOP, lambda shop: shop["spec"]["cache" if "cache" in shop["spec"] else "release"].update(image="NOT OK")
    )
    operator = world.operator()
    world.writes.clear()

    await operator.look()

    assert condition(world, "Stalled") == ("True", "InvalidSpec")
    assert world.writes == ["status"]
    assert world.objects[SHOP]["status"]["release"] == "kvservice:1"


async def test_a_status_that_nobody_can_have_written_stops_the_pass_before_it_does_harm(world: Any) -> None:
    world.edit(SHOP, lambda shop: shop["status"]["rollout"].update(phase="Sleeping"))
    world.writes.clear()

    with pytest.raises(StatusUnreadableError, match=r"status.rollout.phase"):
        await world.operator().look()
    assert world.writes == []


async def test_a_cluster_that_is_being_deleted_is_left_to_the_garbage_collector(world: Any) -> None:
    world.edit(SHOP, lambda shop: shop["metadata"].update(deletionTimestamp="2030-01-01T00:00:00Z"))
    del world.objects["HTTPRoute", "web", "shop-eu-west"]
    world.writes.clear()

    await world.operator().look()

    assert world.writes == []


async def test_a_region_that_is_removed_goes_traffic_first_and_leaves_its_data(world: Any) -> None:
    world.edit(SHOP, lambda shop: shop["spec"].update(regions=shop["spec"]["regions"][:1]))
    world.writes.clear()

    await world.operator().look()

    deleted = [write.split()[1] for write in world.writes if write.startswith("delete") and "us-east" in write]
    left = [kind for kind, _, name in world.objects if name.startswith("shop-us-east")]
    assert (deleted[0], left) == ("HTTPRoute", ["PersistentVolumeClaim"])


async def test_a_copy_that_a_person_made_of_a_child_is_left_alone(world: Any) -> None:
    [name] = [name for kind, _, name in world.objects if kind == "ConfigMap" and "eu-west" in name]
    own = world.objects["ConfigMap", "web", name]
    metadata = own["metadata"] | {"name": "mine", "ownerReferences": []}
    metadata["labels"] = own["metadata"]["labels"] | {"kvcluster.dev/revision": "other"}
    world.objects["ConfigMap", "web", "mine"] = own | {"metadata": metadata}

    await world.operator().look()

    assert ("ConfigMap", "web", "mine") in world.objects


async def test_a_refused_config_does_not_keep_a_bad_canary_routed(world: Any) -> None:
    operator = await in_step(world)
    world.refuse["ConfigMap"] = UnreachableError("apply ConfigMap: no answer")
    world.bad = lambda revision: revision == canary(world)

    await operator.go_on(seconds=10)

    assert world.routed[-1][2] == {world.objects[SHOP]["status"]["rollout"]["stable"]["name"]: 100}


async def test_a_back_end_leaves_the_gateway_before_its_service_goes(world: Any) -> None:
    old = world.objects[SHOP]["status"]["rollout"]["stable"]["name"]
    service = ("Service", "web", f"shop-eu-west-{old}")
    operator = await in_step(world)
    while world.objects[SHOP]["status"]["phase"] != "Done":
        world.settle()
        world.time += timedelta(seconds=1)
        await operator.look()

    assert service in world.objects
    world.settle()
    await operator.look()
    assert service not in world.objects


async def test_the_relay_goes_when_there_is_no_other_region_left(world: Any) -> None:
    assert ("Deployment", "web", "shop-eu-west-relay") in world.objects
    world.edit(SHOP, lambda shop: shop["spec"].update(regions=shop["spec"]["regions"][:1]))

    await world.operator().go_on(seconds=10)

    assert not [name for kind, _, name in world.objects if name.endswith("-relay")]


async def test_the_tokens_are_made_once_and_again_when_something_is_wrong_without_them(world: Any) -> None:
    tokens = ("Secret", "web", "shop-tokens")
    made = world.objects.pop(tokens)
    operator = world.operator()
    await operator.look()
    assert tokens not in world.objects  # all is well: nobody looks

    for own in [own for own in world.objects if own[0] == "Deployment"]:
        world.edit(own, lambda deployment: deployment.update(status={"readyReplicas": 0}))
    await operator.look()

    assert world.objects[tokens]["stringData"] == made["stringData"]


async def test_each_release_migrates_once_and_going_back_migrates_nothing(on_cassandra: Any) -> None:
    def jobs() -> set[str]:
        return {name for kind, _, name in on_cassandra.objects if kind == "Job"}

    [first] = jobs()
    release(on_cassandra, "kvservice:2")
    operator = on_cassandra.operator()
    await operator.look()
    assert len(jobs()) == 2
    assert first in jobs()
    on_cassandra.writes.clear()
    release(on_cassandra, "kvservice:1")

    await operator.go_on(seconds=60)

    assert jobs() == {first}
    assert not [write for write in on_cassandra.writes if write.startswith("apply Job")]


async def test_who_waits_for_cassandra_is_told_so(on_cassandra: Any) -> None:
    on_cassandra.edit(
        ("StatefulSet", "web", "shop-eu-west-cassandra"), lambda nodes: nodes.update(status={"readyReplicas": 1})
    )
    for own in [own for own in on_cassandra.objects if own[0] == "Deployment" and "eu-west" in own[2]]:
        on_cassandra.edit(own, lambda deployment: deployment.update(status={"readyReplicas": 0}))

    await on_cassandra.operator().look()

    conditions = {one["type"]: one for one in on_cassandra.objects[SHOP]["status"]["conditions"]}
    assert conditions["Ready"]["message"] == "eu-west: 0 of 4 pods ready (Cassandra: 1 of 3 nodes ready)"

"""The operator is killed before and after every side effect of a rollout; the next one goes on from what is stored."""

import copy
from datetime import datetime, timedelta
from itertools import dropwhile, pairwise
from typing import Any

import pytest

SHOP = ("KVCluster", "web", "shop")
REGIONS = ("eu-west", "us-east")
HOLD = timedelta(seconds=20)  # of the step, and of the bake
LONG_ENOUGH_S = 120.0


def released(world: Any, *, bad: bool) -> Any:
    """A world of its own, in which the spec asks for the next release."""
    world = copy.deepcopy(world)
    stable = world.objects[SHOP]["status"]["rollout"]["stable"]["name"]
    world.bad = lambda revision: bad and revision != stable
    world.edit(SHOP, lambda shop: shop["spec"].update(release={"image": "kvservice:2"}))
    world.routed.clear()
    world.writes.clear()
    return world


async def killed(world: Any, number: int, when: str) -> Any:
    world.kill(number, when)
    with pytest.raises(world.Killed):
        await world.operator().go_on(LONG_ENOUGH_S)
    world.revive()
    world.settle()
    await world.operator().go_on(LONG_ENOUGH_S)
    return world


def end(world: Any) -> dict[str, Any]:
    """What is there in the end, without what depends on when."""
    rollout = world.objects[SHOP]["status"]["rollout"]
    return {
        "objects": sorted(world.objects),
        "routes": {own: one["spec"] for own, one in world.objects.items() if own[0] == "HTTPRoute"},
        "sets": {own: one["spec"]["replicas"] for own, one in world.objects.items() if own[0] == "Deployment"},
        "phase": rollout["phase"],
        "stable": rollout["stable"]["image"],
        "refused": rollout.get("refused", {}).get("image"),
    }


def taken(world: Any, region: str) -> list[tuple[datetime, dict[str, int]]]:
    """When the region's gateway took which shares, from the first share of the canary on."""
    own = [(time, weights) for time, name, weights in world.routed if name == region]
    return list(dropwhile(lambda one: len(one[1]) == 1, own))


def shares(world: Any) -> dict[str, list[dict[str, int]]]:
    return {region: [weights for _, weights in taken(world, region)] for region in REGIONS}


def holds(world: Any) -> list[timedelta]:
    """How long each region's gateway kept the step, and then the bake, at whose end the old back end goes."""
    times = [[time for time, _ in taken(world, region)] for region in REGIONS]
    return [later - earlier for own in times for earlier, later in pairwise(own)]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_good_release_is_promoted_and_no_hold_is_shortened(world: Any, when: str) -> None:
    expected = released(world, bad=False)
    await expected.operator().go_on(LONG_ENOUGH_S)
    assert (end(expected)["phase"], end(expected)["stable"]) == ("Done", "kvservice:2")
    assert len(expected.writes) > 30

    for number, write in enumerate(expected.writes):
        survivor = await killed(released(world, bad=False), number, when)
        assert end(survivor) == end(expected), f"killed {when} {number}: {write}"
        assert shares(survivor) == shares(expected), f"killed {when} {number}: {write}"
        assert [hold >= HOLD for hold in holds(survivor)] == [True] * 4, f"killed {when} {number}: {write}"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_bad_release_is_rolled_back_and_never_gets_more_than_its_step(world: Any, when: str) -> None:
    expected = released(world, bad=True)
    await expected.operator().go_on(LONG_ENOUGH_S)
    assert (end(expected)["phase"], end(expected)["stable"]) == ("RolledBack", "kvservice:1")

    for number, write in enumerate(expected.writes):
        survivor = await killed(released(world, bad=True), number, when)
        assert end(survivor) == end(expected), f"killed {when} {number}: {write}"
        assert shares(survivor) == shares(expected), f"killed {when} {number}: {write}"

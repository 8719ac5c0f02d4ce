"""From `auto` to a number of pods: what the planner says, within bounds, and never fewer while a canary is judged."""

from typing import Any

import pytest

from kvoperator.api.spec import KVClusterSpec
from kvoperator.api.status import KVClusterStatus, RegionStatus, Revision, RolloutStatus
from kvoperator.core.sizing import Size, settled

UNKNOWN = Size(None, False, "the planner does not know")


def number(size: Size, *, had: int | None = None, canary: bool = False, **region: Any) -> object:
    """What a region with `replicas: auto` is given, that `had` so many pods."""
    auto = {"name": "eu", "zones": ["a"], "replicas": "auto", **region}
    spec = KVClusterSpec.model_validate(
        {"release": {"image": "kv:1"}, "regions": [auto], "workload": {"peakQPS": 1}},
    )
    known = KVClusterStatus(
        regions=[RegionStatus(name="eu", replicas=had)],
        rollout=RolloutStatus(canary=Revision(name="new", image="kv:2") if canary else None),
    )
    return settled(spec, {"eu": size}, known).regions[0].replicas


def pods(count: int) -> Size:
    return Size(count, True, "load")


def test_a_number_stays_as_it_is() -> None:
    assert number(pods(7), replicas=3) == 3


@pytest.mark.parametrize("had", [None, 3, 20])
def test_auto_follows_the_planner_up_and_down(had: int | None) -> None:
    assert number(pods(7), had=had) == 7


@pytest.mark.parametrize(("planned", "given"), [(1, 4), (7, 7), (50, 9)])
def test_auto_keeps_to_its_bounds(planned: int, given: int) -> None:
    assert number(pods(planned), minReplicas=4, maxReplicas=9) == given


def test_without_an_answer_a_region_keeps_the_pods_it_has() -> None:
    assert number(UNKNOWN, had=6) == 6


def test_without_an_answer_a_new_region_gets_the_least() -> None:
    assert number(UNKNOWN, minReplicas=3) == 3


@pytest.mark.parametrize(("planned", "given"), [(4, 6), (8, 8)])
def test_while_a_canary_is_under_way_no_region_gets_fewer(planned: int, given: int) -> None:
    assert number(pods(planned), had=6, canary=True) == given

"""Worlds: what is drawn, and how chosen sizes do in them."""

import math

import numpy as np
import pytest
from kvplanning import QUICK, asked

from kvplan.plan import outlook as outlooks
from kvplan.plan.inputs import Range, Time
from kvplan.plan.outcome import RegionSize
from kvplan.plan.outlook import holds, latencies, outlook
from kvplan.plan.worlds import drawn, spread, worlds

ROUGH = Range(low=100.0, mid=200.0, high=250.0)


def sizes(pods: int) -> dict[str, RegionSize]:
    return {name: RegionSize(name, pods, 6, 4 * 2**30, 9, 1e12, "") for name in ("r1", "r2", "r3")}


def test_of_an_estimate_a_twentieth_lies_below_low_and_another_above_high() -> None:
    values = drawn(ROUGH, 10_000, np.random.default_rng(1))
    assert np.quantile(values, (0.05, 0.5, 0.95)) == pytest.approx((100, 200, 250), rel=0.01)


def test_what_is_certain_stays_and_all_the_rest_is_drawn() -> None:
    inputs = asked(workload={"records": ROUGH}, service=QUICK.model_copy(update={"pod_read": Time(mean=ROUGH, cv=0.7)}))
    found = worlds(inputs, 8, seed=3)
    assert len({world.workload.records for world in found}) == 8
    assert len({world.service.pod_read.mean for world in found}) == 8
    assert {(world.workload.peak_qps, world.service.pod_read.cv) for world in found} == {(50_000, 0.7)}


def test_the_same_seed_draws_the_same_worlds() -> None:
    inputs = asked(workload={"records": ROUGH})
    assert worlds(inputs, 4, seed=1) == worlds(inputs, 4, seed=1)
    assert worlds(inputs, 4, seed=1) != worlds(inputs, 4, seed=2)


def test_without_anything_uncertain_there_is_one_world() -> None:
    assert worlds(asked(), 256, seed=0) == (asked(),)


def test_a_number_s_range_is_the_middle_nine_tenths() -> None:
    found = spread(50.0, [*range(101)], "pods", "")
    assert (found.value, found.low, found.high) == (50.0, 5.0, 95.0)


def test_a_range_is_without_end_if_more_than_a_twentieth_of_the_worlds_are_unstable() -> None:
    assert spread(1.0, [1.0] * 90 + [math.inf] * 10, "s", "").high == math.inf
    assert spread(1.0, [1.0] * 96 + [math.inf] * 4, "s", "").high == 1.0


def test_a_world_with_slower_pods_is_slower_until_it_is_unstable() -> None:
    slower = [asked(service=QUICK.model_copy(update={"pod_read": Time(mean=mean)})) for mean in (0.001, 0.0015, 0.003)]
    found = [latencies(world, sizes(40))["r1", 95.0] for world in slower]
    assert found[0] < found[1] < found[2] == math.inf


def test_a_plan_holds_in_a_world_only_if_every_region_does_with_a_zone_and_with_a_region_lost() -> None:
    normal_only = {**sizes(70), "r2": sizes(25)["r2"]}
    assert holds(asked(), sizes(70))
    assert latencies(asked(), normal_only)["r2", 95.0] < 0.1
    assert not holds(asked(), normal_only)


def test_processes_see_the_same_worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlooks, "WORTH", 1)
    drawn = worlds(asked(workload={"peak_qps": Range(low=30_000, mid=50_000, high=80_000)}), 4, seed=1)
    alone, together = (outlook(drawn, sizes(50), 2, sizes(60), workers=workers) for workers in (1, 2))
    assert together == alone
    assert len({seconds["r1", 95.0] for seconds in alone.latencies}) == 4

"""A scenario on a plan's regions is as loaded and as fast, while nothing happens, as the plan predicts."""

import numpy as np
import pytest

from kvplan.plan import make_plan, read_inputs
from kvplan.plan.outcome import Plan
from kvplan.scenario.engine.state import Count
from kvplan.scenario.file import Scenario, scenario_of
from kvplan.scenario.months import stations
from kvplan.scenario.outcome import Run
from kvplan.scenario.packaged import fields
from kvplan.scenario.planned import on
from kvplan.scenario.play import play

CALM = {"duration": 60, "events": [], "protections": {}}


@pytest.fixture(scope="module")
def plan() -> Plan:
    regions = [{"name": "north", "share": 0.6}, {"name": "south", "share": 0.4}]
    workload = {"peakQps": 8000, "records": 500_000}
    return make_plan(read_inputs({"workload": workload, "regions": regions, "months": 1}), samples=1)


@pytest.fixture(scope="module")
def calm(plan: Plan) -> Run:
    return play(scenario_of(on(plan, fields("flush")) | CALM, "calm"))


@pytest.mark.parametrize(("index", "region"), [(0, "north"), (1, "south")])
def test_calm_it_is_what_the_plan_predicts(plan: Plan, calm: Run, index: int, region: str) -> None:
    state = next(each for each in plan.states if (each.region, each.name) == (region, "normal"))
    assert state.prediction is not None
    predicted = {station.name: station.utilisation for station in state.prediction.stations}
    played = {station: float(np.mean(load[index])) for station, load in stations(calm).items()}
    hits = calm.seconds[index, :, Count.HITS].sum() / calm.seconds[index, :, Count.LOOKUPS].sum()
    assert hits == pytest.approx(state.hit_rate, abs=0.01)
    assert played["pods"] == pytest.approx(predicted["pod"], rel=0.05)
    assert played["store"] == pytest.approx(predicted["store"], rel=0.3)  # without the other region's writes
    assert calm.p95(0, 60, index) == pytest.approx(state.prediction.latency.quantiles[95.0], rel=0.05)


def test_an_event_elsewhere_happens_in_the_largest_region(plan: Plan) -> None:
    made = scenario_of(on(plan, fields("region-lost")), "made")
    assert [event.region for event in made.events] == ["north"]


def test_what_the_file_says_of_clients_and_protections_stays(plan: Plan) -> None:
    given = fields("flush")
    made, own = scenario_of(on(plan, given), "made"), Scenario.model_validate(given)
    assert made.protections == own.protections
    assert (made.client.timeout, made.client.retries) == (own.client.timeout, own.client.retries)


def test_what_is_large_is_scaled_as_far_as_there_are_pods_for_it() -> None:
    regions = [{"name": "a", "share": 1, "pods": 200}]
    storage, cache = {"nodes": 90}, {"shards": 30, "memoryBytes": 2**34}
    workload = {"peakQps": 100_000, "records": 100_000_000}
    inputs = {"workload": workload, "regions": regions, "storage": storage, "cache": cache, "months": 1}
    large = make_plan(read_inputs(inputs), samples=1)
    assert on(large, fields("flush"))["scale"] == 5

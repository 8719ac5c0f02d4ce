"""A plan as a whole: its months, its states, its numbers, and what it says of itself."""

import math
from dataclasses import replace
from datetime import date

import pytest
from kvplanning import QUICK, asked, regions

from kvplan.errors import InputError
from kvplan.plan import make_plan
from kvplan.plan.autoscaling import headroom
from kvplan.plan.growth import data_bytes, in_month
from kvplan.plan.inputs import Autoscaling, Cache, Range, Storage, Time
from kvplan.plan.outcome import Plan

TODAY = date(2025, 7, 1)
ROUGHLY = {"peak_qps": Range(low=8_000, mid=10_000, high=13_000), "records": 1e6}
GROWING = {"qps_growth_per_month": 0.1, "data_growth_per_month": 0.2}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(asked(workload=ROUGHLY | GROWING, months=3), samples=12, seed=5, today=TODAY)


def test_requests_and_data_grow_from_the_first_month_on(plan: Plan) -> None:
    assert [month.number for month in plan.months] == [1, 2, 3]
    assert [month.peak_qps.value for month in plan.months] == pytest.approx([10_000, 11_000, 12_100])
    assert [month.mean_qps.value for month in plan.months] == pytest.approx([5_000, 5_500, 6_050])
    first = data_bytes(plan.inputs.workload)
    assert [month.data_bytes.value for month in plan.months] == pytest.approx([first, 1.2 * first, 1.44 * first])


def test_sizes_and_cost_follow_the_growth(plan: Plan) -> None:
    pods = [sum(size.pods for size in month.sizes) for month in plan.months]
    assert pods == sorted(pods)
    assert pods[0] < pods[2]
    assert [month.cost.value for month in plan.months] == [month.bill.total for month in plan.months]
    assert plan.months[0].cost.value < plan.months[2].cost.value


def test_every_region_has_every_state_and_holds_it(plan: Plan) -> None:
    assert [(state.region, state.name) for state in plan.states] == [
        (region, name) for region in ("r1", "r2", "r3") for name in ("normal", "zone lost", "region lost", "cache cold")
    ]
    assert all(state.holds for state in plan.states)


def test_a_lost_region_s_load_goes_to_the_others_in_proportion(plan: Plan) -> None:
    rates = {state.region: state.rate for state in plan.states if state.name == "region lost"}
    assert rates == pytest.approx({"r1": 10_000 * 0.4 / 0.7, "r2": 10_000 * 0.3 / 0.6, "r3": 10_000 * 0.3 / 0.6})


def test_what_is_uncertain_has_a_range_and_what_is_not_has_none(plan: Plan) -> None:
    uncertain = [
        plan.numbers[name] for name in ("workload.peak-qps", "regions.r1.pods", "regions.r1.p95", "cost.total")
    ]
    assert all(number.low < number.value < number.high for number in uncertain)
    certain = [
        plan.numbers[name] for name in ("data.bytes", "cache.entry-bytes", "regions.r1.cache.shards", "cost.pods")
    ]
    assert all(number.low == number.value == number.high for number in certain)


def test_every_number_has_a_formula_and_a_unit(plan: Plan) -> None:
    assert [name for name, number in plan.numbers.items() if not (number.formula and number.unit)] == []


def test_the_costs_of_each_kind_are_the_whole(plan: Plan) -> None:
    kinds = [number.value for name, number in plan.numbers.items() if name.startswith("cost.") and name != "cost.total"]
    assert sum(kinds) == pytest.approx(plan.numbers["cost.total"].value)
    assert plan.numbers["cost.egress"].value > 0


def test_the_bottleneck_is_what_is_full_first(plan: Plan) -> None:
    full = {name: number.value for name, number in plan.numbers.items() if name.startswith("limits.")}
    first, second, _ = sorted(full, key=lambda name: full[name])
    assert plan.bottleneck.startswith(first.removeprefix("limits."))
    assert plan.next_bottleneck.startswith(second.removeprefix("limits."))
    assert f"full at {full[first]:,.0f} requests/s world-wide" in plan.bottleneck
    assert full[first] > 10_000


def test_a_plan_says_in_how_many_worlds_it_holds(plan: Plan) -> None:
    first, between, last = (month.holds for month in plan.months)
    assert 0 < first.value < 1
    assert first.formula == f"{first.value:.1%} of 12 worlds"
    assert between.value == pytest.approx((first.value + last.value) / 2)
    assert last.formula.endswith(f"to {last.value:.1%} of every 4th in month 3")


def test_the_same_seed_makes_the_same_plan() -> None:
    alone = asked(workload=ROUGHLY, regions=regions(1.0))
    one, again, other = (make_plan(alone, samples=3, seed=seed, today=TODAY) for seed in (5, 5, 6))
    assert one == again
    assert one.numbers != other.numbers


def test_notes_say_the_rules_and_what_is_not_covered(plan: Plan) -> None:
    assert any("85%" in note for note in plan.notes)
    assert any(note.startswith("not covered") for note in plan.notes)


def test_old_prices_are_warned_of() -> None:
    alone = asked(workload={"peak_qps": 1_000}, regions=regions(1.0))
    fresh, old = (make_plan(alone, today=today).notes for today in (TODAY, date(2026, 7, 1)))
    assert [note for note in old if note not in fresh] == [
        "the prices of generic are 395 days old (2025-06-01); compare them with what you pay"
    ]


def test_a_single_region_in_two_zones_says_what_it_does_not_survive() -> None:
    found = make_plan(asked(regions=regions(1.0, zones=2)), today=TODAY)
    assert [state.name for state in found.states] == ["normal", "cache cold"]
    assert any(note.startswith("a lost zone is not planned in r1") for note in found.notes)
    assert any(note.startswith("a lost region is not planned") for note in found.notes)


def test_given_pods_that_are_too_few_are_unstable_and_no_number() -> None:
    inputs = asked(regions=(regions(1.0)[0].model_copy(update={"pods": 5}),), workload={"peak_qps": 20_000})
    found = make_plan(inputs, today=TODAY)
    normal = found.states[0]
    assert (normal.prediction, normal.holds) == (None, False)
    assert normal.why.startswith("unstable: at 20000 requests/s, pod gets")
    assert found.months[0].p95["r1"].value == math.inf
    assert found.months[0].holds.value == 0


def test_regions_alike_get_the_same_size() -> None:
    first, second, third = make_plan(asked(workload={"peak_qps": 10_000}), today=TODAY).months[0].sizes
    assert (second.region, third.region) == ("r2", "r3")
    assert second == replace(third, region="r2")
    assert second != replace(first, region="r2")


def test_given_disks_that_become_too_small_name_the_month() -> None:
    inputs = asked(
        workload={"peak_qps": 1_000, "records": 1e7, "data_growth_per_month": 1.0},
        regions=regions(1.0),
        storage=Storage(nodes=3, disk_bytes=150e9),
        months=3,
    )
    notes = make_plan(inputs, today=TODAY).notes
    assert "the disks that are given are too small from month 3 on, by the rule above" in notes


def test_an_objective_that_a_later_month_cannot_reach_names_the_month() -> None:
    inputs = asked(
        workload={"reads": 1.0, "records": 1e5, "skew": 0.6, "data_growth_per_month": 9.0},
        service=QUICK.model_copy(update={"store_read": Time(mean=0.05, cv=0.5)}),
        cache=Cache(shards=3, ttl=86_400),
        objectives={90.0: 0.02},
        months=5,
    )
    with pytest.raises(InputError, match=r"^in month \d, p90 within 20 ms cannot be reached"):
        make_plan(inputs, today=TODAY)


def test_a_late_autoscaler_needs_what_load_grows_meanwhile() -> None:
    assert headroom(40, Autoscaling(growth_per_minute=0.2, ready_after=120)).value == 18  # 40 x 0.44
    assert headroom(40, Autoscaling(growth_per_minute=0.2, ready_after=0)).value == 0


def test_a_range_grows_as_a_whole() -> None:
    grown = in_month(asked(workload=ROUGHLY | GROWING), 3).workload.peak_qps
    assert isinstance(grown, Range)
    assert (grown.low, grown.mid, grown.high) == pytest.approx((9_680, 12_100, 15_730))

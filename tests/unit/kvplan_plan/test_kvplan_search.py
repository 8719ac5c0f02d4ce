"""The cheapest size that holds: it does hold, it follows what is asked, and its cost never falls when more is asked."""

import math
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvplanning import QUICK, asked, regions

from kvplan.errors import InputError
from kvplan.model import COARSE
from kvplan.plan.inputs import Cache, Inputs, Service, Storage, Time
from kvplan.plan.outcome import RegionSize
from kvplan.plan.prices import load_prices
from kvplan.plan.search import Choice, smallest
from kvplan.plan.states import Kind, decisive, latency, situations, state, system_in
from kvplan.system import Balancing

PRICES = load_prices("generic")
QUICK_BEFORE_THE_STORE = Service(
    client_network=Time(mean=0.001, cv=0.3),
    gateway=Time(mean=0.00005, cv=1.0),
    zone_hop=Time(mean=0.0001, cv=0.3),
    cross_zone_hop=Time(mean=0.0002, cv=0.3),
    pod_read=Time(mean=0.001, cv=1.0),
    pod_miss=Time(mean=0.0015, cv=1.0),
    pod_write=Time(mean=0.002, cv=1.0),
    store_read=Time(mean=0.01, cv=1.0),
    store_write=Time(mean=0.005, cv=1.0),
)


def chosen(inputs: Inputs) -> Choice:
    return smallest(inputs, inputs.regions[0], PRICES, date(2025, 7, 1))


def cost(inputs: Inputs) -> float:
    """Infinite if an objective is out of reach."""
    try:
        return chosen(inputs).cost
    except InputError:
        return math.inf


def within(seconds: float) -> Inputs:
    """Nearly all is read, and may be kept for a day."""
    return asked(
        workload={"reads": 0.99, "records": 1e7},
        service=QUICK_BEFORE_THE_STORE,
        cache=Cache(ttl=86_400),
        balancing=Balancing.RANDOM,
        objectives={95.0: seconds},
    )


def test_objectives_of_100_20_and_5_ms_are_three_plans() -> None:
    """The first lets reads miss, the second asks for memory so that hardly any does, the third for pods besides."""
    hundred, twenty, five = (chosen(within(seconds)) for seconds in (0.1, 0.02, 0.005))
    assert hundred.cost < twenty.cost < five.cost
    assert cache(hundred.size) < cache(twenty.size)
    assert twenty.size.pods < five.size.pods
    assert five.needs["pods"].why == "p95 within 5 ms, zone lost"


def test_an_objective_below_the_clients_network_is_said_to_be_out_of_reach() -> None:
    far = QUICK.model_copy(update={"client_network": Service().client_network})
    with pytest.raises(
        InputError, match=r"p95 within 5 ms cannot be reached in r1: .* client network alone takes 20 ms"
    ):
        chosen(asked(service=far, objectives={95.0: 0.005}))


def test_a_tenth_of_the_pods_less_would_not_hold() -> None:
    inputs = within(0.005)
    size = chosen(inputs).size
    assert [holds(inputs, replace(size, pods=pods)) for pods in (size.pods, size.pods * 9 // 10)] == [True, False]


def test_given_sizes_are_kept_and_said_not_to_hold_where_they_do_not() -> None:
    inputs = asked(regions=(regions(1.0)[0].model_copy(update={"pods": 5}),), cache=Cache(shards=3, memory_bytes=2**30))
    choice = chosen(inputs)
    assert (choice.size.pods, choice.size.cache_shards, choice.size.cache_bytes) == (5, 3, 2**30)
    assert not choice.holds


def test_pods_are_chosen_by_load_where_a_given_store_cannot_hold() -> None:
    choice = chosen(asked(storage=Storage(nodes=1, copies=1, concurrency=1)))
    assert (choice.size.store_nodes, choice.holds) == (1, False)
    assert choice.needs["pods"].why.startswith("load")


def test_given_shards_have_the_memory_that_is_cheapest() -> None:
    choice = chosen(asked(cache=Cache(shards=4)))
    assert choice.size.cache_shards == 4
    assert choice.holds


def test_memory_that_is_dear_is_replaced_by_store_nodes() -> None:
    inputs = within(0.1)
    prices = {"default": PRICES.of("r1").model_copy(update={"cache_gib_hour": 5.0})}
    cheap = chosen(inputs).size
    dear = smallest(inputs, inputs.regions[0], PRICES.model_copy(update={"regions": prices}), date(2025, 7, 1)).size
    assert cache(dear) < cache(cheap)
    assert dear.store_nodes > cheap.store_nodes


def cache(size: RegionSize) -> float:
    return size.cache_shards * size.cache_bytes


@st.composite
def workloads(draw: st.DrawFn) -> Inputs:
    """Any that makes sense; the objective is a little or much above what misses take when nobody waits."""
    many = draw(st.integers(1, 3))
    inputs = asked(
        workload={
            "peak_qps": round(10 ** draw(st.floats(2, 5))),
            "records": round(10 ** draw(st.floats(4, 9))),
            "reads": draw(st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0])),
            "value_bytes": draw(st.sampled_from([200, 1000, 5000])),
            "skew": draw(st.floats(0.6, 1.2)),
        },
        cache=Cache(ttl=draw(st.sampled_from([60.0, 600.0, 86_400.0]))),
        regions=regions(*[1 / many] * many, zones=draw(st.integers(1, 4))),
        balancing=draw(st.sampled_from(list(Balancing))),
    )
    return inputs.model_copy(
        update={"objectives": {95.0: slowest(inputs) * draw(st.sampled_from([1.1, 1.5, 3.0, 8.0]))}}
    )


def slowest(inputs: Inputs) -> float:
    """p95 if nothing hits and nobody waits."""
    size = RegionSize("r1", 10_000, 12_000, 2**30, 10_000, 0.0, "")
    paths = [system_in(inputs, size, each, 0.0) for each in decisive(inputs, inputs.regions[0])]
    return max(latency(inputs, path, COARSE).latency.quantiles[95] for path in paths)


def more(inputs: Inputs, name: str, factor: float) -> Inputs:
    workload = inputs.workload
    return inputs.model_copy(update={"workload": workload.model_copy(update={name: getattr(workload, name) * factor})})


def holds(inputs: Inputs, size: RegionSize) -> bool:
    return all(state(inputs, size, each).holds for each in situations(inputs, inputs.regions[0]).values())


@pytest.mark.counted
def test_more_requests_never_cost_less(counted: Any) -> None:
    @given(workloads(), st.floats(1.05, 4.0))
    @settings(max_examples=counted(4, 50), deadline=None, derandomize=True)
    def check(inputs: Inputs, factor: float) -> None:
        assert cost(more(inputs, "peak_qps", factor)) >= cost(inputs)

    check()
    counted.tell(f"more requests: {counted(4, 50)} pairs of plans, the second never cheaper")


@pytest.mark.counted
def test_more_data_never_costs_less(counted: Any) -> None:
    @given(workloads(), st.floats(1.05, 10.0), st.floats(0.2, 1.0))
    @settings(max_examples=counted(4, 50), deadline=None, derandomize=True)
    def check(inputs: Inputs, factor: float, tighter: float) -> None:
        """Also where the objective may be out of reach."""
        inputs = inputs.model_copy(update={"objectives": {95.0: inputs.objectives[95.0] * tighter}})
        assert cost(more(inputs, "records", factor)) >= cost(inputs)

    check()
    counted.tell(f"more data: {counted(4, 50)} pairs of plans, the second never cheaper")


@pytest.mark.counted
def test_a_tighter_objective_never_costs_less(counted: Any) -> None:
    @given(workloads(), st.floats(0.2, 0.98))
    @settings(max_examples=counted(4, 50), deadline=None, derandomize=True)
    def check(inputs: Inputs, factor: float) -> None:
        tighter = {95.0: inputs.objectives[95.0] * factor}
        assert cost(inputs.model_copy(update={"objectives": tighter})) >= cost(inputs)

    check()
    counted.tell(f"a tighter objective: {counted(4, 50)} pairs of plans, the second never cheaper")


@pytest.mark.counted
def test_a_chosen_size_holds_with_a_zone_lost_a_region_lost_and_a_cold_cache(counted: Any) -> None:
    @given(workloads())
    @settings(max_examples=counted(4, 50), deadline=None, derandomize=True)
    def check(inputs: Inputs) -> None:
        size = chosen(inputs).size
        states = [state(inputs, size, each) for each in situations(inputs, inputs.regions[0]).values()]
        assert [(each.name, each.why) for each in states if not each.holds] == []
        assert (Kind.ZONE_LOST in {each.name for each in states}) == (inputs.regions[0].zones > 2)
        assert (Kind.REGION_LOST in {each.name for each in states}) == (len(inputs.regions) > 1)

    check()
    counted.tell(f"{counted(4, 50)} plans hold with a zone lost, a region lost and a cold cache")

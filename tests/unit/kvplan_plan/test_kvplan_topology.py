"""A region as a system: what each class visits, what that loads, and what is left when a zone is lost."""

from dataclasses import replace

import pytest
from kvplanning import QUICK, asked, regions

from kvplan.errors import InputError
from kvplan.plan.inputs import Inputs, Storage
from kvplan.plan.outcome import RegionSize
from kvplan.plan.topology import CACHE, POD, STORE, system, without_zones
from kvplan.system import Class, System, Visit

SIZE = RegionSize("r1", pods=40, cache_shards=3, cache_bytes=2**30, store_nodes=9, disk_bytes=1e12, binds="")


def path(inputs: Inputs | None = None, *, size: RegionSize = SIZE, hit_rate: float = 0.9, **how: bool | int) -> System:
    inputs = inputs or asked()
    return system(inputs, size, region=inputs.regions[0], rate=20_000.0, hit_rate=hit_rate, **how)  # type: ignore[arg-type]


def named(of: System, name: str) -> Class:
    return next(each for each in of.classes if each.name == name)


def stations(each: Class) -> list[str]:
    return [step.station for step in each.steps if isinstance(step, Visit)]


@pytest.mark.parametrize(
    ("name", "visited"),
    [
        ("hit", ["pod", "cache", "pod"]),
        ("miss", ["pod", "cache", "pod", "cache", "pod", "store", "pod", "cache", "pod"]),
        ("write", ["pod", "store", "pod", "store", "pod", "cache", "pod"]),
    ],
)
def test_a_request_goes_through_the_gateway_and_then_as_the_service_does(name: str, visited: list[str]) -> None:
    assert stations(named(path(), name)) == ["gateway", *visited]


def test_pods_alone_are_event_loops_that_answer_at_the_end_of_a_turn() -> None:
    assert [station.name for station in path().stations if station.in_turns] == [POD]


def test_a_read_needs_exactly_the_quorum_it_asks_and_a_write_a_quorum_of_all_copies() -> None:
    steps = [step for step in named(path(), "write").steps if isinstance(step, Visit) and step.station == STORE]
    assert [(step.copies, step.needed) for step in steps] == [(2, 2), (3, 2)]


def test_load_is_the_work_of_all_classes_with_the_other_regions_writes() -> None:
    loads = path().loads()
    hits, misses, writes, elsewhere = 17_100, 1_900, 1_000, 1_500
    assert loads[POD] == pytest.approx((hits * 0.0012 + misses * 0.002 + writes * 0.0025) / 40)
    assert loads[CACHE] == pytest.approx((hits + 3 * misses + writes + elsewhere) * 0.00003 / 3)
    store = misses * 2 * 0.0005 + writes * (2 * 0.0005 + 3 * 0.0003) + elsewhere * 3 * 0.0003
    assert loads[STORE] == pytest.approx(store / (9 * 8))


def test_other_regions_writes_are_nobody_s_latency() -> None:
    assert [each.name for each in path().classes if not each.counted] == ["replicated"]
    alone = asked(regions=regions(1.0))
    assert all(each.counted for each in path(alone).classes)


def test_of_the_clients_requests_the_given_rate_arrives() -> None:
    seen = path()
    assert seen.rate * sum(each.share for each in seen.classes if each.counted) == pytest.approx(20_000)


def test_without_writes_nothing_is_written() -> None:
    assert {each.name for each in path(asked(workload={"reads": 1.0})).classes} == {"hit", "miss"}


def test_a_pod_sees_no_gateway_and_no_network_and_not_its_first_wait() -> None:
    seen = path(inside_pod=True)
    assert [station.name for station in seen.stations] == ["pod", "cache", "store"]
    assert all(each.from_service and each.steps[0] == named(seen, each.name).steps[0] for each in seen.classes[:3])
    assert stations(named(seen, "hit")) == ["pod", "cache", "pod"]


@pytest.mark.parametrize(("pods", "left"), [(2, 1), (3, 2), (4, 2), (6, 4), (7, 4), (40, 26)])
def test_a_lost_zone_is_the_fullest(pods: int, left: int) -> None:
    assert without_zones(replace(SIZE, pods=pods), zones=3, lost=1).pods == left


def test_a_single_pod_is_gone_with_its_zone() -> None:
    with pytest.raises(InputError, match="1 pod is in one zone, and gone with it"):
        path(size=replace(SIZE, pods=1), zones_lost=1)


def test_with_a_zone_lost_a_write_needs_both_copies_that_are_left() -> None:
    steps = [step for step in named(path(zones_lost=1), "write").steps if isinstance(step, Visit)]
    assert [(step.copies, step.needed) for step in steps if step.station == STORE] == [(2, 2), (2, 2)]


def test_too_few_nodes_for_a_quorum_are_refused() -> None:
    with pytest.raises(InputError, match="2 copies at store need as many pools; it has 1"):
        path(asked(storage=Storage(nodes=1)), size=replace(SIZE, store_nodes=1))


def test_a_hop_between_zones_has_the_mean_of_both_kinds_of_hops() -> None:
    read = next(step for step in named(path(), "hit").steps if isinstance(step, Visit) and step.station == CACHE)
    assert read.hop.mean == pytest.approx(QUICK.zone_hop.law().mean / 3 + QUICK.cross_zone_hop.law().mean * 2 / 3)

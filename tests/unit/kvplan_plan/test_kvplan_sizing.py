"""Rules of headroom, on work that is made up."""

import pytest
from kvplanning import asked, regions

from kvplan.errors import InputError
from kvplan.plan import sizing
from kvplan.plan.inputs import Cache, Storage
from kvplan.plan.sizing import Work
from kvplan.plan.states import Kind

REGION = regions(1.0)[0]


def work(kind: Kind = Kind.NORMAL, **busy: float) -> Work:
    return Work(kind, {"pod": 0.0, "cache": 0.0, "store": 0.0, **busy}, zones_lost=int(kind is Kind.ZONE_LOST))


def test_pods_left_after_a_zone_are_no_busier_than_the_rule() -> None:
    need = sizing.pods(REGION, [work(pod=10.0), work(Kind.ZONE_LOST, pod=10.0)])
    assert (need.count, need.why) == (18, "load, zone lost")
    assert need.formula == "10.00 busy / 0.85 = 12 left of 18 (zone lost)"


def test_a_cold_cache_may_make_everything_busier() -> None:
    assert sizing.pods(REGION, [work(Kind.CACHE_COLD, pod=19.0)]).count == 20


def test_there_is_a_pod_in_every_zone() -> None:
    assert sizing.pods(REGION, [work(pod=0.1)]).count == 3


def test_there_are_two_pods_in_a_single_zone() -> None:
    assert sizing.pods(regions(1.0, zones=1)[0], [work(pod=0.1)]).count == 2


def test_store_nodes_are_as_many_in_every_zone() -> None:
    need = sizing.nodes(asked(workload={"records": 1}), REGION, [work(store=20.0)])
    assert (need.count, need.why) == (6, "load, normal")
    assert need.formula == "20.00 busy / (0.7 x 8) = 4 (normal), 6 to be as many in 3 zones"


def test_data_asks_for_nodes_when_disks_are_given() -> None:
    inputs = asked(workload={"records": 1e8, "value_bytes": 900}, storage=Storage(disk_bytes=200e9))
    need = sizing.nodes(inputs, REGION, [work()])
    stored = 1e8 * (900 + 40 + 60) * 3 * 1.1 * 1.3 / 0.6
    assert (need.count, need.why) == (6, "disk")
    assert sizing.disk_bytes(inputs) == pytest.approx(stored)


def test_a_chosen_disk_has_room_for_its_part() -> None:
    inputs = asked(workload={"records": 1e8, "value_bytes": 900})
    assert sizing.disk_of_node(inputs, 6) == pytest.approx(sizing.disk_bytes(inputs) / 6, abs=sizing.DISK_STEP)
    assert sizing.disk_of_node(inputs, 6) * 6 >= sizing.disk_bytes(inputs)


def test_the_shard_of_the_hottest_record_decides() -> None:
    inputs = asked(workload={"records": 2, "skew": 1.0})
    need = sizing.shards(inputs, REGION, [work(cache=0.8)], memory=2**30)
    busiest = 0.8 * (2 / 3 + 1 / 3 / need.count)
    assert (need.count, need.why) == (6, "load of the hottest shard, normal")
    assert busiest <= sizing.SHARD_LOAD


def test_a_record_that_no_shard_can_serve_is_refused() -> None:
    inputs = asked(workload={"records": 2, "skew": 1.0})
    with pytest.raises(
        InputError, match=r"the most popular record gets 66\.7% of the reads, more than one cache shard"
    ):
        sizing.shards(inputs, REGION, [work(cache=0.9)], memory=2**30)


def test_more_memory_than_a_shard_may_have_asks_for_more_shards() -> None:
    assert sizing.shards(asked(), REGION, [work()], memory=100 * 2**30).count == 6
    assert sizing.shards(asked(cache=Cache(memory_bytes=2**30)), REGION, [work()], memory=7 * 2**30).count == 9


def test_what_is_given_is_what_there_is() -> None:
    need = sizing.given(7)
    assert need is not None
    assert (need.count, need.why) == (7, "given")
    assert sizing.given(None) is None

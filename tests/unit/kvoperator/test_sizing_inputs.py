"""What the planner is asked: the spec in kvplan's words, at the CRD's bounds too."""

from typing import Any

import pytest

from kvoperator.api.spec import TIMES, KVClusterSpec
from kvoperator.core.sizing import inputs
from kvplan.errors import InputError
from kvplan.plan.inputs import Cache, Region, Service, Storage, Time, Workload

EU: dict[str, Any] = {"name": "eu-west", "zones": ["a", "b", "c"]}
US: dict[str, Any] = {"name": "us-east", "zones": ["a", "b"]}


def a_spec(**changes: Any) -> KVClusterSpec:
    base = {"release": {"image": "kv:1"}, "regions": [EU, US], "workload": {"peakQPS": 1000}}
    return KVClusterSpec.model_validate(base | changes)


def test_the_workload_is_told_with_its_growth() -> None:
    told = inputs(a_spec(workload={"peakQPS": 50000, "reads": 0.9, "valueBytes": 512, "growthPerMonth": 0.05}))
    growing = {"data_growth_per_month": 0.05, "qps_growth_per_month": 0.05}
    assert told.workload == Workload(peak_qps=50000, reads=0.9, value_bytes=512, **growing)


def test_requests_may_grow_otherwise_than_records() -> None:
    told = inputs(a_spec(workload={"peakQPS": 1, "growthPerMonth": 0.05, "qpsGrowthPerMonth": 0}))
    assert (told.workload.data_growth_per_month, told.workload.qps_growth_per_month) == (0.05, 0)


def test_regions_without_shares_have_the_same() -> None:
    assert inputs(a_spec(regions=[EU | {"replicas": "auto"}, US | {"replicas": 3}])).regions == (
        Region(name="eu-west", share=0.5, zones=3, pods=None),
        Region(name="us-east", share=0.5, zones=2, pods=3),
    )


def test_a_region_keeps_its_share() -> None:
    told = inputs(a_spec(regions=[EU | {"share": 0.75}, US | {"share": 0.25}]))
    assert [region.share for region in told.regions] == [0.75, 0.25]


@pytest.mark.parametrize("shares", [(0.667, 0.334), (0.666, 0.333)])
def test_shares_that_were_rounded_sum_to_one(shares: tuple[float, float]) -> None:
    told = inputs(a_spec(regions=[EU | {"share": shares[0]}, US | {"share": shares[1]}]))
    assert sum(region.share for region in told.regions) == pytest.approx(1, abs=1e-12)


def test_objectives_and_cache_are_told_in_seconds_and_bytes() -> None:
    told = inputs(a_spec(slo={"latency": {"95": "20ms"}}, cache={"shards": 3, "memory": "1Gi", "ttl": "5m"}))
    assert told.objectives == {95.0: 0.02}
    assert told.cache == Cache(shards=3, memory_bytes=2**30, ttl=300)


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ({"embedded": {"size": "2Gi"}}, Storage(nodes=1, copies=1, disk_bytes=2 * 2**30)),
        ({"cassandra": {"nodesPerRegion": 6, "size": "1Ti"}}, Storage(nodes=6, copies=3, disk_bytes=2**40)),
        ({"external": {"contactPoints": {"eu-west": ["a"]}, "replicationFactor": 5}}, Storage(nodes=None, copies=5)),
    ],
)
def test_the_storage_is_told_as_far_as_it_is_known(storage: dict[str, Any], told: Storage) -> None:
    assert inputs(a_spec(storage=storage)).storage == told


def test_measured_times_take_the_place_of_guesses() -> None:
    told = inputs(a_spec(workload={"peakQPS": 1, "service": {"podRead": {"meanMs": 0.4, "cv": 0.7}}}))
    assert told.service == Service(pod_read=Time(mean=0.0004, cv=0.7))


def test_every_time_of_the_spec_is_one_of_the_planner_s() -> None:
    measured = {name: {"meanMs": 1} for name in TIMES}
    assert set(inputs(a_spec(workload={"peakQPS": 1, "service": measured})).service.model_fields_set) == set(
        Service.model_fields
    )


def test_without_a_workload_there_is_nothing_to_ask() -> None:
    with pytest.raises(InputError, match=r"there is no spec.workload; say what clients do"):
        inputs(a_spec(workload=None))


def test_records_may_be_counted_in_millions() -> None:
    assert inputs(a_spec(workload={"peakQPS": 1, "records": "200M"})).workload.records == 200e6


CASSANDRA = {"cassandra": {"nodesPerRegion": 6}}


def test_sizes_that_nobody_wrote_are_their_defaults() -> None:
    told = inputs(a_spec(storage=CASSANDRA))
    assert (told.regions[0].pods, told.cache.shards, told.cache.memory_bytes) == (2, 1, 64 * 2**20)
    assert (told.storage.nodes, told.storage.disk_bytes) == (6, 10 * 2**30)


def test_in_a_draft_they_are_the_planners_to_choose() -> None:
    told = inputs(a_spec(storage=CASSANDRA, cache={"shards": 3}), is_draft=True)
    assert (told.regions[0].pods, told.cache.shards, told.cache.memory_bytes) == (None, 3, None)
    assert (told.storage.nodes, told.storage.disk_bytes) == (6, None)

"""What the planner answers about a spec: pods for `auto`, a p95 at a load, or in a sentence why not."""

import subprocess
import sys
from typing import Any

import pytest

from kvoperator.api.spec import KVClusterSpec
from kvoperator.core.sizing import Size, expected_p95, sizes
from kvplan.errors import InputError
from kvplan.plan import search

EU: dict[str, Any] = {"name": "eu-west", "zones": ["a", "b", "c"], "replicas": "auto"}
CASSANDRA = {"cassandra": {"nodesPerRegion": 12}}


def a_spec(peak_qps: int, **changes: Any) -> KVClusterSpec:
    """Two regions with `auto`, on caches and stores that can take it."""
    regions = [EU, EU | {"name": "us-east"}]
    base = {
        "release": {"image": "kv:1"},
        "regions": regions,
        "cache": {"memory": "2Gi", "shards": 6},
        "storage": CASSANDRA,
        "workload": {"peakQPS": peak_qps, "service": {"podRead": {"meanMs": 1}, "podWrite": {"meanMs": 2}}},
    }
    return KVClusterSpec.model_validate(base | changes)


def planned(spec: KVClusterSpec) -> list[int]:
    return [size.pods or 0 for size in sizes(spec).values()]


def test_an_operator_without_workloads_does_not_load_the_planner() -> None:
    program = "import sys, kvoperator.runtime.app; print({'kvplan', 'numpy', 'scipy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "set()\n"


def test_nothing_is_asked_where_all_replicas_are_numbers() -> None:
    number = {"name": "eu-west", "zones": ["a"], "replicas": 3}
    assert sizes(a_spec(1, regions=[number])) == {}


def test_a_region_that_is_lost_must_fit_into_the_other() -> None:
    """6,000/s with 1.1 ms of CPU each, on average: 6.6 pods at least, where only one region is left."""
    two, alone = planned(a_spec(6000)), planned(a_spec(3000, regions=[EU]))
    assert two[0] == two[1] >= 7
    assert two[0] > alone[0]


def test_more_requests_take_more_pods_and_a_share_takes_its_part() -> None:
    few, many = planned(a_spec(2000)), planned(a_spec(20000))
    assert many[0] > few[0]
    regions = [EU | {"share": 0.8}, EU | {"name": "us-east", "share": 0.2}]
    large, small = planned(a_spec(20000, regions=regions))
    assert large > small


def test_the_same_spec_is_answered_alike_and_says_why() -> None:
    first = sizes(a_spec(6000))
    assert sizes(a_spec(6000)) == first
    assert all(size.holds and size.why.startswith(f"{size.pods} pods (") for size in first.values())


def test_more_pods_than_allowed_are_told() -> None:
    (size,) = sizes(a_spec(6000, regions=[EU | {"maxReplicas": 3}])).values()
    assert not size.holds
    assert size.why.endswith("and maxReplicas is 3")


def test_an_objective_that_no_pod_can_hold_is_told_and_the_load_is_carried() -> None:
    impossible = a_spec(6000, slo={"latency": {"95": "1ms"}}, regions=[EU])
    (size,) = sizes(impossible).values()
    assert not size.holds
    assert size.why == f"no number of pods holds slo.latency; {size.pods} carry the load (load, zone lost)"


@pytest.mark.parametrize(
    ("number", "error", "said"),
    [
        (101, InputError("the shares sum to 2; expected 1"), "the shares sum to 2; expected 1"),
        (102, KeyError("pod"), "the planner failed: KeyError('pod')"),
    ],
)
def test_a_planner_at_a_loss_is_told_and_breaks_nothing(
    number: int, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(search, "smallest", refuse)
    spec = a_spec(number)
    assert sizes(spec)["eu-west"] == Size(None, False, said)
    assert expected_p95(spec, "eu-west", 3, 100) == said


def test_the_expected_p95_rises_with_the_load_and_falls_with_pods() -> None:
    spec = a_spec(6000)
    quiet, busy, eased = (expected_p95(spec, "eu-west", pods, 3000) for pods in (20, 4, 8))
    assert isinstance(quiet, float)
    assert isinstance(busy, float)
    assert isinstance(eased, float)
    assert quiet < eased < busy


def test_a_load_that_pods_cannot_carry_has_no_p95() -> None:
    said = expected_p95(a_spec(6000), "eu-west", 1, 3000)
    assert isinstance(said, str)
    assert "pod gets" in said


@pytest.mark.parametrize("storage", [{"embedded": {}}, {"external": {"contactPoints": {"eu-west": ["a"]}}}])
def test_every_kind_of_storage_can_be_planned(storage: dict[str, Any]) -> None:
    spec = a_spec(200, storage=storage, regions=[EU])
    assert planned(spec) == [3]
    assert isinstance(expected_p95(spec, "eu-west", 3, 100), float)

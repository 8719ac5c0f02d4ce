"""What one look makes of Prometheus' answers, region by region."""

import pytest

from kvoperator.api.spec import KVClusterSpec
from kvoperator.core.latency import Sight, sights
from kvoperator.core.rollout.model import RegionFacts, RevisionFacts
from kvoperator.core.rollout.reasons import Reason
from kvoperator.core.sizing import expected_p95

SPEC = KVClusterSpec.model_validate(
    {
        "release": {"image": "kv:1"},
        "regions": [{"name": "eu", "zones": ["a"], "replicas": 4}],
        "storage": {"external": {"contactPoints": {"eu": ["db"]}}},
        "workload": {"peakQPS": 1000},
    }
)
PODS = {"eu": RegionFacts({"s0": RevisionFacts(4, 4)}, {"s0": 100})}
EXPECTED = expected_p95(SPEC, "eu", 4, 400)


def seen(qps: float, p95: float | None, regions: dict[str, RegionFacts] = PODS) -> Sight:
    return sights(SPEC, regions, {("eu", ""): qps}, {} if p95 is None else {("eu", ""): p95})["eu"]


def test_a_p95_as_expected_agrees() -> None:
    assert isinstance(EXPECTED, float)
    sight = seen(400, EXPECTED)
    assert (sight.reason, sight.qps, sight.predicted, sight.observed) == (Reason.AGREES, 400, EXPECTED, EXPECTED)
    shown = f"{1000 * EXPECTED:.2g} ms"
    assert sight.message == f"p95 {shown}, predicted {shown}, at 400 requests/s on 4 pods"


@pytest.mark.parametrize(
    ("factor", "reason"),
    [(2.1, Reason.PARTS_FROM_MODEL), (1.9, Reason.AGREES), (0.55, Reason.AGREES), (0.45, Reason.PARTS_FROM_MODEL)],
)
def test_a_p95_parts_from_the_model_by_a_factor_of_two_either_way(factor: float, reason: Reason) -> None:
    assert isinstance(EXPECTED, float)
    assert seen(400, factor * EXPECTED).reason is reason


def test_times_within_the_histogram_s_first_bucket_cannot_part() -> None:
    quick = SPEC.model_dump(by_alias=True, exclude_none=True)
    quick["workload"]["service"] = {name: {"meanMs": 0.01} for name in ("podRead", "podMiss", "podWrite", "zoneHop")}
    quick["workload"]["reads"] = 1
    quick["workload"]["records"] = 1
    spec = KVClusterSpec.model_validate(quick)
    (sight,) = sights(spec, PODS, {("eu", ""): 400}, {("eu", ""): 0.00095}).values()
    assert sight.predicted is not None
    assert (sight.reason, sight.predicted < 0.00095 / 2) == (Reason.AGREES, True)


def test_too_few_requests_have_no_p95() -> None:
    assert seen(0.8, 0.01) == Sight(Reason.NO_TRAFFIC, "fewer than 100 requests in 120 s", 0.8)
    assert seen(0, None) == Sight(Reason.NO_TRAFFIC, "fewer than 100 requests in 120 s", 0)


def test_no_series_is_no_data() -> None:
    assert sights(SPEC, PODS, {}, {})["eu"] == Sight(Reason.NO_DATA, "Prometheus has no counts")


@pytest.mark.parametrize("answers", [("down", {("eu", ""): 0.01}), ({("eu", ""): 400.0}, "down")])
def test_prometheus_down_is_no_data_and_says_so(answers: tuple[dict[tuple[str, str], float] | str, ...]) -> None:
    assert sights(SPEC, PODS, *answers)["eu"] == Sight(Reason.NO_DATA, "down")


def test_a_load_that_the_model_cannot_judge_is_shown_without_a_prediction() -> None:
    sight = seen(100_000, 0.5)
    assert (sight.reason, sight.predicted, sight.observed) == (Reason.BEYOND_MODEL, None, 0.5)
    assert "pod gets" in sight.message


def test_pods_without_traffic_are_not_counted_on() -> None:
    baking = {"eu": RegionFacts({"s0": RevisionFacts(4, 4), "c0": RevisionFacts(4, 4)}, {"c0": 100})}
    assert seen(400, 0.01, baking) == seen(400, 0.01)

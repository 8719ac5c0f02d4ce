"""From counters to what they say: the counts, the split of CPU, the unevenness of times. Pure."""

import math

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kvctl.calibrate.counts import Counts, Sample, Times, counts
from kvctl.calibrate.shape import spread
from kvctl.calibrate.split import costs, kinds_of
from kvplan.laws import LogNormal
from kvservice.telemetry import EDGES_S, Telemetry

KINDS = ("hits", "misses", "writes")
COSTS = np.array([0.001, 0.002, 0.003])


def samples(telemetry: Telemetry) -> list[Sample]:
    families = text_string_to_metric_families(telemetry.page().decode())
    return [Sample(one.name, one.labels, one.value) for family in families for one in family.samples]


def pod() -> Telemetry:
    return Telemetry(edges_s=(), build="b", version="1", region="r", revision="s")


def test_a_pods_own_page_is_understood() -> None:
    telemetry = pod()
    for _ in range(3):
        telemetry.request("GET", "record", 200, 0.004)
    telemetry.request("PUT", "record", 204, 0.02)
    telemetry.request("GET", "items", 200, 0.5)
    telemetry.filling("fresh")
    telemetry.filling("stored")
    with telemetry.store_op("read"):
        pass
    found = counts(samples(telemetry))
    assert found
    assert (found.reads, found.hits, found.misses, found.writes, found.other) == (3, 1, 2, 1, 1)
    assert found.cpu_s > 0
    assert (found.reads_s.count, found.reads_s.below[0.0025], found.reads_s.below[0.005]) == (3, 0, 3)
    assert found.reads_s.mean_s == pytest.approx(0.004)
    assert found.writes_s.below[math.inf] == 1
    assert (found.store_reads_s.count, found.store_writes_s.count) == (1, 0)


def test_what_lies_between_two_looks_is_their_difference() -> None:
    telemetry = pod()
    telemetry.request("GET", "record", 200, 0.004)
    before = counts(samples(telemetry))
    telemetry.request("GET", "record", 200, 0.0001)
    after = counts(samples(telemetry))
    assert before
    assert after
    between = after.since(before)
    assert (between.reads, between.reads_s.count, between.reads_s.below[0.0005]) == (1, 1, 1)


@pytest.mark.parametrize("missing", ["kv_http_requests_total", "process_cpu_seconds_total", "kv_filling_total"])
def test_a_page_without_one_of_the_counters_is_not_ours(missing: str) -> None:
    assert counts([one for one in samples(pod()) if one.name != missing]) is None


def intervals(mixtures: list[tuple[int, int, int]], noise_s: float = 0.0) -> list[Counts]:
    random = np.random.default_rng(1)
    return [
        Counts(
            cpu_s=float(np.dot(mixture, COSTS)) + random.normal(0, noise_s)
            if noise_s
            else float(np.dot(mixture, COSTS)),
            hits=mixture[0],
            reads=mixture[0] + mixture[1],
            writes=mixture[2],
        )
        for mixture in mixtures
    ]


CHANGING = [(900, 50, 50), (500, 400, 100), (700, 100, 200), (950, 25, 25), (600, 200, 200), (800, 150, 50)]


def test_kinds_are_told_apart_when_their_mixture_changes() -> None:
    found = costs(intervals(CHANGING), KINDS)
    assert found
    assert [found[kind].mid for kind in KINDS] == pytest.approx(COSTS)


def test_noise_widens_what_is_said_around_the_truth() -> None:
    found = costs(intervals(CHANGING * 4, noise_s=0.02), KINDS)
    assert found
    for kind, true in zip(KINDS, COSTS, strict=True):
        assert found[kind].low < true < found[kind].high
        assert found[kind].high - found[kind].low < true


@pytest.mark.parametrize(
    "mixtures",
    [
        [(900, 50, 50)] * 6,  # always the same
        CHANGING[:3],  # no more intervals than kinds
        [(900 + n, 50, 50) for n in range(6)],  # nearly the same
    ],
)
def test_kinds_are_not_told_apart_by_one_mixture_or_too_few_looks(mixtures: list[tuple[int, int, int]]) -> None:
    assert costs(intervals(mixtures, noise_s=0.02), KINDS) is None


def test_a_cost_is_never_below_nothing() -> None:
    odd = intervals(CHANGING)
    odd[1].cpu_s /= 3  # as if misses gave time back
    found = costs(odd, KINDS)
    assert found is None or all(cost.mid > 0 for cost in found.values())


def test_a_kind_that_hardly_came_is_left_out() -> None:
    assert kinds_of(intervals([(990, 8, 2)])) == ("hits",)


def histogram(law: LogNormal, edges: tuple[float, ...] = EDGES_S, times: int = 5000) -> Times:
    drawn = law.draw(np.random.default_rng(3), times)
    below = {edge: float((drawn <= edge).sum()) for edge in edges} | {math.inf: float(times)}
    return Times(below, float(drawn.sum()), times)


@pytest.mark.parametrize("cv", [0.3, 0.6, 1.2])
def test_the_buckets_of_a_request_tell_its_cv(cv: float) -> None:
    found = spread(histogram(LogNormal(0.002, cv)))
    assert found
    assert found.low <= cv <= found.high
    assert found.cv == pytest.approx(cv, rel=0.15)


def test_times_in_one_bucket_have_no_cv_to_tell() -> None:
    assert spread(histogram(LogNormal(0.002, 0.02), edges=(0.001, 0.01))) is None


def test_few_times_have_no_cv_to_tell() -> None:
    assert spread(histogram(LogNormal(0.002, 0.6), times=20)) is None

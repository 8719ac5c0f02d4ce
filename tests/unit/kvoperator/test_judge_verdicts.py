"""Counts -> verdicts."""

from datetime import UTC, datetime

import pytest

from kvoperator.api.spec import Gate, KVClusterSpec, Region, Release, Rollout, Slo
from kvoperator.api.status import Outcome, Verdict
from kvoperator.core.judge import Samples, judge, questions
from kvoperator.core.rollout.model import Look

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMPARED = Look(canary="c0", stable="s0", since=NOW)
ALONE = Look(canary="c0", stable=None, since=NOW)
SPEC = KVClusterSpec(
    release=Release(image="kv:1"),
    regions=[Region(name="eu-west", zones=["a"])],
    slo=Slo(latency={"95": "100ms", "99": "250ms"}),
    rollout=Rollout(gates=[Gate.LATENCY], min_requests=100),
)


def verdict(
    look: Look, total: Samples | str | None = None, p95: Samples | str | None = None, p99: Samples | str | None = None
) -> Verdict:
    first, second = questions("shop", "kv", look, SPEC, NOW)
    answers = {first.total: total, first.bad: p95, second.bad: p99}
    (said,) = judge(look, SPEC, (first, second), {q: a for q, a in answers.items() if a is not None}, NOW)
    assert (said.region, said.gate, said.at) == ("eu-west", "latency", NOW)
    return said


def of(canary: float | None = None, stable: float | None = None) -> Samples:
    both = {("eu-west", "c0"): canary, ("eu-west", "s0"): stable}
    return {key: value for key, value in both.items() if value is not None}


def test_equal_revisions_pass() -> None:
    said = verdict(COMPARED, of(300, 3000), of(6, 60), of(1, 10))
    assert said.outcome is Outcome.PASS


def test_a_clearly_slower_canary_fails_and_says_all_numbers() -> None:
    said = verdict(COMPARED, of(300, 3000), of(90, 60), of(1, 10))
    assert said.outcome is Outcome.FAIL
    assert (said.canary.bad, said.canary.total, said.stable.bad, said.stable.total) == (90, 300, 60, 3000)
    assert said.evidence is not None
    assert said.bound is not None
    assert said.evidence > said.bound
    assert said.message == (
        "30.00 % (90 of 300) of the canary's requests were slower than 100ms, "
        "2.00 % (60 of 3000) of stable's; 5 % are allowed"
    )


def test_one_percentile_is_enough_to_fail_the_gate() -> None:
    said = verdict(COMPARED, of(300, 3000), of(6, 60), of(60, 10))
    assert said.outcome is Outcome.FAIL
    assert "slower than 250ms" in said.message


def test_evidence_fails_a_canary_before_min_requests() -> None:
    assert verdict(COMPARED, of(40, 3000), of(40, 60), of(0, 10)).outcome is Outcome.FAIL


def test_worse_than_stable_but_within_the_objective_is_no_fail() -> None:
    assert verdict(COMPARED, of(30000, 30000), of(1200, 30), of(0, 0)).outcome is Outcome.PASS


def test_a_region_that_is_as_bad_with_stable_is_not_the_canarys_fault() -> None:
    assert verdict(COMPARED, of(3000, 3000), of(1500, 1500), of(1500, 1500)).outcome is Outcome.PASS


def test_a_bake_fails_by_the_objective_alone() -> None:
    assert verdict(ALONE, of(1000), of(50), of(10)).outcome is Outcome.PASS
    assert verdict(ALONE, of(1000), of(120), of(10)).outcome is Outcome.FAIL


@pytest.mark.parametrize("total", [of(99, 3000), of(300, 99), of(0, 0)])
def test_too_few_requests_of_either_are_no_data(total: Samples) -> None:
    said = verdict(COMPARED, total, of(0, 0), of(0, 0))
    assert said.outcome is Outcome.NO_DATA
    assert "at least 100 requests" in said.message


@pytest.mark.parametrize("missing", [of(), of(canary=300), of(stable=300)])
def test_absent_counts_are_no_data(missing: Samples) -> None:
    assert verdict(COMPARED, missing, of(0, 0), of(0, 0)).outcome is Outcome.NO_DATA
    assert verdict(COMPARED, of(300, 300), missing, of(0, 0)).outcome is Outcome.NO_DATA


def test_a_query_that_failed_is_an_error_with_its_own_words() -> None:
    said = verdict(COMPARED, "connection refused", of(0, 0), of(0, 0))
    assert (said.outcome, said.message) == (Outcome.ERROR, "connection refused")


def test_a_query_without_an_answer_is_an_error() -> None:
    assert verdict(COMPARED, of(300, 3000), of(0, 0)).outcome is Outcome.ERROR


def test_a_fail_outweighs_an_error_of_another_objective() -> None:
    assert verdict(COMPARED, of(300, 3000), of(90, 60), "timeout").outcome is Outcome.FAIL


def test_alpha_is_shared_by_regions_and_objectives() -> None:
    assert verdict(COMPARED, of(300, 300), of(0, 0), of(0, 0)).bound == 2.3  # log10(1 region * 2 objectives / 0.01)

"""The demo's checks, on observations made up here: each promise that is broken is named."""

import re
from dataclasses import replace
from typing import Any

import pytest

from kvctl.demo.report import Seen, Terms, bad_entry, good_entry, outcome, violations, zero_s

REGIONS = ("eu", "us")
TERMS = Terms(regions=REGIONS, steps=(5, 25, 50), interval_s=5)


def weights(*shares: int, start: float = 1.0) -> list[tuple[float, str, int]]:
    """The same share in every region, a second apart."""
    return [(start + at, region, share) for at, share in enumerate(shares) for region in REGIONS]


GOOD = Seen(
    "kv:2",
    seconds=60,
    weights=weights(5, 25, 50, 100),
    phase="Done",
    requests=5000,
    judged_pods={"a", "b"},
    serving_pods={"a", "b", "c"},
)
BAD = Seen(
    "kv:3",
    seconds=30,
    weights=[(1.0, "eu", 5), (1.1, "us", 5), (6.0, "eu", 0), (6.5, "us", 0)],
    phase="RolledBack",
    first_bad_s=2.0,
    requests=2000,
    canary_requests=40,
    routed_requests=700,
)


def test_a_demo_in_which_all_held_has_no_violation() -> None:
    assert violations(GOOD, BAD, TERMS) == []


def test_the_report_has_what_the_issue_names() -> None:
    good, bad = good_entry(GOOD, TERMS), bad_entry(BAD, TERMS)
    named = {"outcome", "seconds", "weights", "requests", "failed_requests", "verdicts"}
    assert named <= good.keys() & bad.keys()
    assert (good["outcome"], good["judged_pods"], good["weights"][0]) == ("promoted", ["a", "b"], [1.0, "eu", 5])
    assert (bad["outcome"], bad["detect_to_zero_s"], bad["max_share"]) == ("rolled_back", 4.5, 5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"requests": 0}, "no answer at all"),
        ({"failed_requests": 3, "errors": {"http 503": 3}}, "3 of 5000 requests failed"),
        ({"dropped_requests": 1}, "could not be sent"),
        ({"weights": weights(5, 25, 50)}, "the release was undecided"),
        ({"weights": weights(5, 25, 50, 0)}, "the release was rolled_back"),
        ({"weights": weights(5, 25, 50, 100)[:-1]}, "the release was undecided"),
        ({"weights": weights(5, 50, 100)}, r"eu went \[5, 50, 100\]"),
        ({"weights": weights(100)}, r"us went \[100\]"),
        ({"judged_pods": set()}, "no pod of the release was seen"),
        ({"serving_pods": {"b", "c"}}, r"1 of 2 pods that were judged do not serve: \['a'\]"),
    ],
)
def test_each_broken_promise_of_the_good_release_is_named(change: dict[str, Any], said: str) -> None:
    found = violations(replace(GOOD, **change), BAD, TERMS)
    assert found
    assert_said(found, said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"requests": 0}, "no answer at all"),
        ({"failed_requests": 1, "errors": {"timeout": 1}}, "1 of 2000 requests failed"),
        ({"weights": weights(5)}, "the slow release was undecided"),
        ({"weights": []}, "the slow release was undecided"),
        ({"weights": weights(5, 25, 50, 100)}, "the slow release was promoted"),
        ({"weights": weights(5, 25, 0)}, "had 25 % of a region, expected at most its first step's 5 %"),
        ({"canary_requests": 140}, "answered 20.0 % of the requests"),
        ({"first_bad_s": None}, "no slow sample"),
        ({"weights": weights(5), "phase": "Stepping"}, "no return to weight 0"),
        ({"weights": [*weights(5), (9.2, "eu", 0), (9.2, "us", 0)]}, "7.2 s from the first slow sample to weight 0"),
    ],
)
def test_each_broken_promise_of_the_bad_release_is_named(change: dict[str, Any], said: str) -> None:
    assert_said(violations(GOOD, replace(BAD, **change), TERMS), said)


def test_a_bad_release_that_was_not_tried_is_a_violation() -> None:
    assert_said(violations(GOOD, None, TERMS), "was not tried")


def test_weight_0_counts_from_when_the_last_region_has_it_and_only_if_it_stays() -> None:
    assert zero_s(BAD) == 6.5
    assert zero_s(replace(BAD, weights=[*BAD.weights, (8.0, "eu", 5)])) is None
    assert zero_s(replace(BAD, weights=[*BAD.weights, (8.0, "eu", 5), (9.0, "eu", 0)])) == 9.0


def test_a_region_that_was_never_routed_does_not_count_as_promoted() -> None:
    only_eu = [(at, region, share) for at, region, share in GOOD.weights if region == "eu"]
    assert outcome(replace(GOOD, weights=only_eu), REGIONS) == "undecided"


def assert_said(found: list[str], said: str) -> None:
    assert any(re.search(said, one) for one in found), found

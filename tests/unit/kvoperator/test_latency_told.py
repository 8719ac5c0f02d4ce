"""What status tells of predicted and observed latency, when it changes, and when it does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kvoperator.api.status import Condition, KVClusterStatus, RegionLatency, RegionStatus
from kvoperator.core.latency import Comparison, Sight, Watch, told
from kvoperator.core.rollout.reasons import Reason

START = datetime(2030, 1, 1, tzinfo=UTC)
AGREES = Sight(Reason.AGREES, "as expected", qps=812.0, predicted=0.0123, observed=0.0111)
PARTS = Sight(Reason.PARTS_FROM_MODEL, "much slower", qps=812.0, predicted=0.0123, observed=0.0777)
QUIET = Sight(Reason.NO_TRAFFIC, "fewer than 100 requests", qps=0.2)
SILENT = Sight(Reason.NO_DATA, "Prometheus gave no answer")


class Story:
    """Looks one after the other, a minute apart; `writes` counts those that changed what is told."""

    def __init__(self) -> None:
        self.status, self.now, self.writes = KVClusterStatus(), START, 0
        self.watch: Watch | None = None

    def look(self, *found: Sight) -> Comparison:
        sights = dict(zip(("eu-west", "us-east"), found, strict=False))
        comparison, self.watch = told(sights, self.watch, self.status, self.now)
        status = _status(comparison, self.now)
        if (status.regions, [(c.reason, c.message) for c in status.conditions]) != (
            self.status.regions,
            [(c.reason, c.message) for c in self.status.conditions],
        ):
            self.writes, self.status = self.writes + 1, status
        self.now += timedelta(minutes=1)
        return comparison

    def looks(self, count: int, *found: Sight) -> list[Reason]:
        return [self.look(*found).reason for _ in range(count)]


def _status(comparison: Comparison, now: datetime) -> KVClusterStatus:
    fields: dict[str, Any] = {"status": "Unknown", "last_transition_time": now, "observed_generation": 1}
    return KVClusterStatus(
        regions=[RegionStatus(name=name, latency=latency) for name, latency in comparison.regions.items()],
        conditions=[
            Condition(type="AsPredicted", reason=comparison.reason, message=comparison.message, **fields),
        ],
    )


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def agreeing(story: Story) -> Story:
    story.looks(2, AGREES)
    story.writes = 0
    return story


def test_the_first_look_shows_numbers_and_the_second_tells(story: Story) -> None:
    first = story.look(AGREES)
    assert first.regions == {
        "eu-west": RegionLatency(qps=810, predicted_p95_ms=12, observed_p95_ms=11, at=START),
    }
    assert (first.reason, first.message) == (Reason.NO_DATA, "too few looks to tell")
    second = story.look(AGREES)
    assert (second.reason, second.message) == (Reason.AGREES, "eu-west: as expected")


def test_parting_is_told_after_three_looks_in_a_row(agreeing: Story) -> None:
    assert agreeing.looks(3, PARTS) == [Reason.AGREES, Reason.AGREES, Reason.PARTS_FROM_MODEL]


def test_a_look_that_agrees_starts_the_count_anew(agreeing: Story) -> None:
    agreeing.looks(2, PARTS)
    agreeing.look(AGREES)
    assert set(agreeing.looks(2, PARTS)) == {Reason.AGREES}


def test_one_region_that_parts_is_told_by_name_though_another_agrees(agreeing: Story) -> None:
    agreeing.looks(2, AGREES, PARTS)
    comparison = agreeing.look(AGREES, PARTS)
    assert (comparison.reason, comparison.message) == (Reason.PARTS_FROM_MODEL, "us-east: much slower")


def test_a_region_without_traffic_does_not_hide_one_that_agrees(story: Story) -> None:
    assert story.looks(2, QUIET, AGREES)[-1] is Reason.AGREES


def test_traffic_that_stays_as_it_is_costs_no_write(agreeing: Story) -> None:
    for number in range(30):
        wobble = 1 + 0.2 * (-1) ** number
        agreeing.look(Sight(Reason.AGREES, f"look {number}", 812 * wobble, 0.0123 * wobble, 0.0111 * wobble))
    assert agreeing.writes == 0


def test_traffic_that_moves_is_rewritten_every_few_minutes_only(agreeing: Story) -> None:
    for number in range(30):
        agreeing.look(Sight(Reason.AGREES, f"look {number}", 812 * 1.5**number, 0.0123, 0.0111))
    assert agreeing.writes == 6


def test_the_first_traffic_is_shown_at_once_and_told_after_another_look(story: Story) -> None:
    story.looks(2, QUIET)
    first = story.look(AGREES)
    assert (first.reason, first.regions["eu-west"].observed_p95_ms) == (Reason.NO_TRAFFIC, 11)
    assert story.look(AGREES).reason is Reason.AGREES


def test_a_flip_shows_the_numbers_that_caused_it(agreeing: Story) -> None:
    agreeing.looks(3, PARTS)
    assert agreeing.status.regions[0].latency == RegionLatency(
        qps=810, predicted_p95_ms=12, observed_p95_ms=78, at=agreeing.now - timedelta(minutes=1)
    )


def test_without_traffic_nothing_is_observed(agreeing: Story) -> None:
    comparison = [agreeing.look(QUIET) for _ in range(2)][-1]
    assert comparison.reason is Reason.NO_TRAFFIC
    assert comparison.regions["eu-west"] == RegionLatency(qps=0, at=agreeing.now - timedelta(minutes=1))


def test_without_an_answer_the_last_numbers_stay_with_their_time(agreeing: Story) -> None:
    before = agreeing.status.regions
    assert agreeing.looks(2, SILENT)[-1] is Reason.NO_DATA
    assert agreeing.status.regions == before


def test_a_reason_that_this_look_does_not_have_keeps_its_message(agreeing: Story) -> None:
    agreeing.now += timedelta(minutes=10)
    comparison = agreeing.look(QUIET)
    assert (comparison.reason, comparison.message) == (Reason.AGREES, "eu-west: as expected")
    assert comparison.regions["eu-west"].observed_p95_ms is None

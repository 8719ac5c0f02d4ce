import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvservice.core.clock import MAX_AHEAD_US, STEP, HybridClock, writer_slot
from kvservice.errors import ClockSkew

NOW_US = 1_764_000_000_000_000
SLOTS = st.integers(0, 255)
SOON = st.integers(-(10**12), MAX_AHEAD_US - 2 * STEP)


def clock(slot: int = 7, now_us: int = NOW_US) -> HybridClock:
    return HybridClock(lambda: now_us, slot)


@given(SLOTS, SOON)
def test_a_version_is_above_the_highest_seen_and_ends_in_the_slot(slot: int, offset_us: int) -> None:
    version = clock(slot).issue(NOW_US + offset_us)

    assert version > NOW_US + offset_us
    assert version % STEP == slot


@given(SLOTS, SLOTS, SOON)
def test_two_slots_never_tie(one: int, other: int, offset_us: int) -> None:
    assert (clock(one).issue(NOW_US + offset_us) == clock(other).issue(NOW_US + offset_us)) == (one == other)


@given(SLOTS, st.integers(0, NOW_US - 2 * STEP))
def test_a_version_is_the_time_when_the_key_is_old(slot: int, highest: int) -> None:
    assert abs(clock(slot).issue(highest) - NOW_US) < STEP


def test_versions_of_a_key_grow_while_the_clock_stands_still() -> None:
    one = clock().issue(0)

    assert clock().issue(one) == one + STEP


def test_versions_of_a_key_grow_when_the_clock_goes_back() -> None:
    one = clock().issue(0)

    assert clock(now_us=NOW_US - 100_000).issue(one) == one + STEP


@given(st.integers(MAX_AHEAD_US, 10**15))
def test_a_version_too_far_ahead_is_not_issued(ahead_us: int) -> None:
    with pytest.raises(ClockSkew, match="ahead of this pod's clock"):
        clock().issue(NOW_US + ahead_us)


def test_a_version_too_far_ahead_is_not_accepted() -> None:
    assert clock().accepts(NOW_US + MAX_AHEAD_US)
    assert not clock().accepts(NOW_US + MAX_AHEAD_US + 1)


def test_a_clock_that_is_not_to_be_trusted_issues_nothing() -> None:
    with pytest.raises(ClockSkew, match="5 s off"):
        HybridClock(lambda: NOW_US, 7, lambda: "5 s off").issue(0)


def test_a_pod_keeps_its_slot() -> None:
    assert writer_slot("orders-eu-west-0") == writer_slot("orders-eu-west-0")
    assert len({writer_slot(f"pod-{number}") for number in range(100)}) > 60

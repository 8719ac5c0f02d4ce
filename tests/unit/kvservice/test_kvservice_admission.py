"""Admission: the bound by priority, and the namespaces' rates. Time is a number."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvservice.core.admission import Admission
from kvservice.core.namespaces import Namespace
from kvservice.core.request import Priority
from kvservice.errors import Overloaded, RateLimited

FREE = Namespace(name="free")


class Pod:
    def __init__(self, max_in_flight: int = 100) -> None:
        self.now_s = 1000.0
        self.admission = Admission(max_in_flight, lambda: self.now_s)

    def admitted(self, count: int, namespace: Namespace, priority: Priority = Priority.NORMAL) -> int:
        """How many of so many, one after the other."""
        admitted = 0
        for _ in range(count):
            try:
                with self.admission.of(namespace, priority):
                    admitted += 1
            except RateLimited:
                pass
        return admitted

    def held(self, count: int, priority: Priority) -> int:
        """How many of so many at once."""
        with ExitStack() as stack:
            for held in range(count):
                try:
                    stack.enter_context(self.admission.of(FREE, priority))
                except Overloaded:
                    return held
            return count


@pytest.mark.parametrize(("priority", "room"), [(Priority.LOW, 50), (Priority.NORMAL, 90), (Priority.HIGH, 100)])
def test_the_less_urgent_get_a_part_of_the_room(priority: Priority, room: int) -> None:
    assert Pod().held(101, priority) == room


def test_a_pod_that_takes_one_request_takes_any() -> None:
    assert [Pod(1).held(2, priority) for priority in Priority] == [1, 1, 1]


def test_room_is_given_back_also_by_those_that_fail() -> None:
    pod = Pod(1)
    with pytest.raises(ZeroDivisionError), pod.admission.of(FREE, Priority.HIGH):
        raise ZeroDivisionError

    assert pod.held(2, Priority.HIGH) == 1


def test_a_refusal_takes_no_token() -> None:
    pod, limited = Pod(1), Namespace(name="limited", requests_per_second=1)
    with pod.admission.of(FREE, Priority.HIGH), pytest.raises(Overloaded), pod.admission.of(limited, Priority.HIGH):
        pass

    assert pod.admitted(2, limited) == 1


@given(st.floats(0.1, 100), st.lists(st.floats(0, 3), max_size=10))
def test_a_namespace_gets_its_rate_and_a_burst_of_one_second(rate: float, pauses: list[float]) -> None:
    pod, limited = Pod(), Namespace(name="limited", requests_per_second=rate)
    admitted = pod.admitted(120, limited)
    for pause in pauses:
        pod.now_s += pause
        admitted += pod.admitted(120, limited)

    assert admitted <= max(1, rate) + sum(pauses) * rate + 0.001
    assert admitted >= int(max(1, rate)) + sum(int(min(pause, 1) * rate * 0.999) for pause in pauses) - len(pauses)


def test_a_refused_request_is_told_when_to_come_again() -> None:
    pod, limited = Pod(), Namespace(name="limited", requests_per_second=0.5)
    pod.admitted(1, limited)
    with (
        pytest.raises(RateLimited, match=r"0\.5 requests a second") as refusal,
        pod.admission.of(limited, Priority.LOW),
    ):
        pass
    pod.now_s += refusal.value.retry_after_s

    assert refusal.value.retry_after_s == 2
    assert pod.admitted(1, limited) == 1


def test_namespaces_do_not_use_each_others_rate() -> None:
    pod = Pod()
    one, other = (Namespace(name=name, requests_per_second=5) for name in ("one", "other"))

    assert pod.admitted(9, one) == 5
    assert pod.admitted(9, other) == 5
    assert pod.admitted(99, FREE) == 99


def test_a_clock_that_stands_still_gives_nothing() -> None:
    pod, limited = Pod(), Namespace(name="limited", requests_per_second=5)
    pod.admitted(5, limited)

    assert pod.admitted(9, limited) == 0

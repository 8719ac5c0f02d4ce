import pytest

from kvservice.cache.breaker import FAILURES, PAUSE_S, SPAN_S, Breaker


class Bench:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.breaker = Breaker(lambda: self.now_s)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def tripped(bench: Bench) -> Bench:
    for _ in range(FAILURES):
        bench.now_s += SPAN_S
        bench.breaker.failed()
    return bench


def test_a_few_failures_are_no_outage(bench: Bench) -> None:
    for _ in range(FAILURES - 1):
        bench.now_s += SPAN_S
        bench.breaker.failed()

    assert bench.breaker.admits()


def test_failures_in_a_row_make_it_refuse(tripped: Bench) -> None:
    assert not tripped.breaker.admits()


def test_many_failures_in_one_moment_are_no_outage(bench: Bench) -> None:
    for _ in range(FAILURES * 10):
        bench.breaker.failed()

    assert bench.breaker.admits()


def test_a_late_success_from_before_the_outage_does_not_end_it(tripped: Bench) -> None:
    tripped.breaker.succeeded()

    assert not tripped.breaker.admits()


def test_a_success_in_between_starts_the_count_anew(bench: Bench) -> None:
    for _ in range(FAILURES * 2):
        bench.now_s += SPAN_S
        bench.breaker.failed()
        bench.breaker.succeeded()

    assert bench.breaker.admits()


def test_one_try_a_pause_gets_through(tripped: Bench) -> None:
    tripped.now_s += PAUSE_S

    assert [tripped.breaker.admits(), tripped.breaker.admits()] == [True, False]


def test_a_try_that_succeeds_closes_it(tripped: Bench) -> None:
    tripped.now_s += PAUSE_S
    tripped.breaker.admits()
    tripped.breaker.succeeded()

    assert tripped.breaker.admits()
    assert tripped.breaker.admits()

"""Who is looked at when, in a time that passes only while everybody waits."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from kvoperator.errors import UnreachableError
from kvoperator.reconcile.queue import FIRST_DELAY_S, LONGEST_DELAY_S, Again, Queue

A, B = ("web", "a"), ("web", "b")
START = datetime(2030, 1, 1, tzinfo=UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Nothing is waited for: when all tasks wait for a timer, it is then."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        if timers and not self._ready:  # type: ignore[attr-defined]
            self._now = max(self._now, min(timers))
        super()._run_once()  # type: ignore[misc]


class LoopClock:
    def now(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time())


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def run(test: Callable[[], Awaitable[Any]]) -> Any:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(test())  # type: ignore[arg-type]


class Looks:
    """Records when each key was looked at, and answers as `answers` says."""

    def __init__(self, *answers: Again | Exception) -> None:
        self.times: list[tuple[str, float]] = []
        self._answers = list(answers)

    async def __call__(self, key: tuple[str, str]) -> Again:
        self.times.append((key[1], asyncio.get_running_loop().time()))
        answer = self._answers.pop(0) if self._answers else Again()
        if isinstance(answer, Exception):
            raise answer
        return answer


def queue_of(looks: Any) -> Queue:
    queue = Queue(looks, LoopClock(), jitter=lambda: 0.0)
    queue.open()
    return queue


def test_nothing_runs_before_the_mirror_is_whole() -> None:
    async def test() -> list[tuple[str, float]]:
        looks = Looks()
        queue = Queue(looks, LoopClock(), jitter=lambda: 0.0)
        queue.wake(A)
        await asyncio.sleep(5)
        queue.open()
        await asyncio.sleep(5)
        await queue.close()
        return looks.times

    assert run(test) == [("a", 5.0)]


def test_wakes_that_come_during_a_pass_are_one_pass_more() -> None:
    async def test() -> int:
        passes = 0

        async def look(_: tuple[str, str]) -> Again:
            nonlocal passes
            passes += 1
            await asyncio.sleep(10)
            return Again()

        queue = queue_of(look)
        for _ in range(5):
            queue.wake(A)
            await asyncio.sleep(1)
        await asyncio.sleep(100)
        await queue.close()
        return passes

    assert run(test) == 2


def test_a_pass_is_made_when_time_alone_will_change_the_answer() -> None:
    async def test() -> list[tuple[str, float]]:
        looks = Looks(Again(at=at(30)))
        queue = queue_of(looks)
        queue.wake(A)
        await asyncio.sleep(1000)
        await queue.close()
        return looks.times

    assert run(test) == [("a", 0.0), ("a", 30.0)]


def test_failures_are_repeated_ever_more_slowly_up_to_a_limit() -> None:
    async def test() -> list[float]:
        looks = Looks(*[UnreachableError("no answer")] * 20)
        queue = queue_of(looks)
        queue.wake(A)
        await asyncio.sleep(600)
        await queue.close()
        times = [time for _, time in looks.times]
        return [later - earlier for earlier, later in pairwise(times)]

    gaps = run(test)
    assert gaps[:4] == [FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S, 8 * FIRST_DELAY_S]
    assert max(gaps) == LONGEST_DELAY_S


def test_a_failure_does_not_put_off_what_is_due_earlier() -> None:
    async def test() -> list[tuple[str, float]]:
        looks = Looks(*[Again(failed=True)] * 5, Again(at=at(20), failed=True))
        queue = queue_of(looks)
        queue.wake(A)
        await asyncio.sleep(21)
        await queue.close()
        return looks.times[-1:]

    assert run(test) == [("a", 20.0)]


def test_one_that_breaks_or_hangs_holds_up_no_other() -> None:
    async def test() -> list[str]:
        seen = []

        async def look(key: tuple[str, str]) -> Again:
            seen.append(key[1])
            if key == A:
                raise RuntimeError("a mistake of ours")
            await asyncio.sleep(10_000)
            return Again()

        queue = queue_of(look)
        queue.wake(A)
        queue.wake(B)
        await asyncio.sleep(1)
        queue.wake(A)
        await asyncio.sleep(0.1)
        await queue.close()
        return seen

    seen = run(test)
    assert (seen.count("b"), seen.count("a") >= 2) == (1, True)


def test_one_that_is_forgotten_is_looked_at_no_more_and_may_come_again() -> None:
    async def test() -> list[tuple[str, float]]:
        looks = Looks(Again(at=at(10)))
        queue = queue_of(looks)
        queue.wake(A)
        await asyncio.sleep(1)
        queue.forget(A)
        await asyncio.sleep(50)
        queue.wake(A)
        await asyncio.sleep(50)
        await queue.close()
        return looks.times

    assert run(test) == [("a", 0.0), ("a", 51.0)]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")

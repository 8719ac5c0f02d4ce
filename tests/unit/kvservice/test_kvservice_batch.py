"""Batches: all at once, errors as values, nobody waits for the slowest beyond the deadline. In virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from kvcaching import in_virtual_time, now_s

from kvservice.core.batch import AT_ONCE, each
from kvservice.core.request import Deadline
from kvservice.errors import DeadlineExceeded, StoreBusy

SLOW_S = 1000.0


def taking(seconds: float, result: int = 0) -> Callable[[], Awaitable[int]]:
    async def operate() -> int:
        await asyncio.sleep(seconds)
        return result

    return operate


async def failing() -> int:
    raise StoreBusy("busy")


async def broken() -> int:
    raise ZeroDivisionError


@in_virtual_time
async def test_results_come_in_order_and_errors_are_values() -> None:
    outcomes = await each([taking(2, 1), failing, taking(1, 3)], Deadline.after(10))

    assert outcomes[0] == 1
    assert isinstance(outcomes[1], StoreBusy)
    assert outcomes[2] == 3


@in_virtual_time
async def test_one_slow_operation_delays_nobody_beyond_the_deadline() -> None:
    begin_s = now_s()
    outcomes = await each([taking(0.1, number) for number in range(99)] + [taking(SLOW_S)], Deadline.after(1))

    assert now_s() < begin_s + 1
    assert outcomes[:99] == list(range(99))
    assert isinstance(outcomes[99], DeadlineExceeded)
    assert "may still happen" in str(outcomes[99])


@in_virtual_time
async def test_what_was_not_begun_says_so() -> None:
    outcomes = await each([taking(SLOW_S)] * (AT_ONCE + 1), Deadline.after(1))

    assert ["nothing was done" in str(outcome) for outcome in outcomes] == [False] * AT_ONCE + [True]


@in_virtual_time
async def test_no_more_than_some_run_at_once() -> None:
    running, most = 0, 0

    async def operate() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return 0

    await each([operate] * 100, Deadline.after(60))

    assert most == AT_ONCE


@in_virtual_time
async def test_late_operations_are_cancelled() -> None:
    ended: list[str] = []

    async def operate() -> int:
        try:
            await asyncio.sleep(SLOW_S)
        finally:
            ended.append("cancelled")
        return 0

    await each([operate], Deadline.after(1))
    await asyncio.sleep(0)

    assert ended == ["cancelled"]


@in_virtual_time
async def test_an_operation_that_ignores_its_cancellation_is_not_waited_for() -> None:
    async def operate() -> int:
        try:
            await asyncio.sleep(SLOW_S)
        except asyncio.CancelledError:
            await asyncio.sleep(SLOW_S)
        return 0

    begin_s = now_s()
    await each([operate], Deadline.after(1))

    assert now_s() < begin_s + 1


@in_virtual_time
async def test_a_deadline_that_has_passed_leaves_nothing_done() -> None:
    with pytest.raises(DeadlineExceeded, match="nothing was done"):
        await each([broken], Deadline.after(-1))


@in_virtual_time
async def test_a_cancelled_batch_cancels_its_operations() -> None:
    ended: list[str] = []

    async def operate() -> int:
        try:
            await asyncio.sleep(SLOW_S)
        finally:
            ended.append("cancelled")
        return 0

    batch = asyncio.create_task(each([operate], Deadline.after(60)))
    await asyncio.sleep(0.1)
    batch.cancel()
    await asyncio.gather(batch, return_exceptions=True)
    await asyncio.sleep(0)

    assert ended == ["cancelled"]


@in_virtual_time
async def test_what_is_no_error_of_ours_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        await each([broken, taking(0)], Deadline.after(1))

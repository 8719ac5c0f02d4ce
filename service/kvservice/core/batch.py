"""Batches: many operations at once, each with an outcome of its own, answered before the deadline."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from kvservice.core.request import Deadline
from kvservice.errors import DeadlineExceeded, KvError

AT_ONCE = 32
T = TypeVar("T")


async def each(operations: Sequence[Callable[[], Awaitable[T]]], deadline: Deadline) -> list[T | KvError]:
    """What each operation gave, in order; errors are values. Those that are not done shortly before the deadline are
    cancelled, and DeadlineExceeded says whether they had begun. Raises it if the deadline has passed already."""
    deadline.check()
    begun: set[int] = set()
    room = asyncio.Semaphore(AT_ONCE)

    async def run(number: int) -> T | KvError:
        async with room:
            begun.add(number)
            try:
                return await operations[number]()
            except KvError as error:
                return error

    tasks = [asyncio.create_task(run(number)) for number in range(len(operations))]
    try:
        left_s = deadline.answer_by_s() - asyncio.get_running_loop().time()
        await asyncio.wait(tasks, timeout=max(0.0, left_s))
        return [task.result() if task.done() else _late(is_begun=number in begun) for number, task in enumerate(tasks)]
    finally:
        for task in tasks:
            task.cancel()


def _late(*, is_begun: bool) -> DeadlineExceeded:
    if not is_begun:
        return DeadlineExceeded("the deadline came before this operation was begun; nothing was done")
    return DeadlineExceeded(
        "this operation was under way when the deadline came; a write may still happen: "
        "send it again with the same Idempotency-Key to find out"
    )

"""Sends the load, through `wire`: when, to whom, and what became of it.

Every answer is counted in the region's `Tally`, which others may read while the load runs.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import partial
from random import Random
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from kvctl.errors import TargetError
from kvctl.load.report import LOST, WRONG, Tally
from kvctl.load.schedule import Operation, Plan, operations
from kvctl.load.values import Stamp, check, key_name, make
from kvctl.load.wire import Answer, Pool

NAMESPACE = "kvctl-load"
_PREPARING_AT_ONCE = 8


@dataclass(frozen=True)
class Target:
    """Where a region's clients go: `host` is the Host header, None for the url's own."""

    region: str
    url: str
    host: str | None = None


class Load:
    """A load on several regions. `async with`, then `prepare()`, then `run()`; `stop()` ends it early.

    `tallies` has the live counters of each region. `run` names the load's keys; `random` decides keys, sizes and times.
    """

    def __init__(self, targets: list[Target], plan: Plan, *, run: str, random: Random) -> None:
        self._regions = [_Region(target, plan, run, Random(random.random())) for target in targets]  # noqa: S311
        self.tallies: dict[str, Tally] = {region.target.region: region.tally for region in self._regions}
        self._warm_up_s = plan.warm_up_s

    async def __aenter__(self) -> Self:
        for region in self._regions:
            region.open()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for region in self._regions:
            region.pool.close()
        await asyncio.sleep(0)  # the connections notice

    async def prepare(self) -> None:
        """Write every key once, unmeasured, so that every read has something to find. Raises TargetError."""
        await asyncio.gather(*(region.prepare() for region in self._regions))

    async def run(self) -> float:
        """Send until the plan's duration is over or `stop()`; returns the seconds from the end of the warm-up to the
        last answer."""
        loop = asyncio.get_running_loop()
        counted_from = loop.time() + self._warm_up_s
        await asyncio.gather(*(region.drive(counted_from) for region in self._regions))
        return max(loop.time() - counted_from, 0.0)

    def stop(self) -> None:
        """Send nothing more; what is in flight is still awaited and counted."""
        for region in self._regions:
            if region.sender:
                region.sender.cancel()


class _Region:
    pool: Pool

    def __init__(self, target: Target, plan: Plan, run: str, random: Random) -> None:
        self.target, self.plan, self.run, self.random = target, plan, run, random
        self.tally = Tally()
        self.sender: asyncio.Task[None] | None = None
        self._sequence = 0
        self._in_flight = 0
        self._all_landed = asyncio.Event()
        self._all_landed.set()
        parts = urlsplit(target.url)
        self._address = f"{parts.path}/v1/kv/{NAMESPACE}/"
        self._headers = f" HTTP/1.1\r\nHost: {target.host or parts.netloc}\r\n"

    def open(self) -> None:
        self.pool = Pool(self.target.url, self.plan.timeout_s)
        self._now = asyncio.get_running_loop().time

    async def prepare(self) -> None:
        errors: Counter[str] = Counter()
        keys = iter(range(self.plan.keys))

        async def work() -> None:
            for key in keys:
                answered: asyncio.Future[Answer | str] = asyncio.get_running_loop().create_future()
                self.pool.request(self._put(key, self.plan.sizes.draw(self.random)), answered.set_result)
                if error := _error_of_write(await answered):
                    errors[error] += 1

        await asyncio.gather(*(work() for _ in range(_PREPARING_AT_ONCE)))
        if errors:
            said = ", ".join(f"{kind}: {count}" for kind, count in errors.most_common())
            raise TargetError(
                f"{self.target.region} at {self.target.url} refused {errors.total()} of {self.plan.keys} "
                f"first writes ({said}); is the service ready there, and the address right?"
            )

    async def drive(self, counted_from: float) -> None:
        self.sender = asyncio.create_task(self._send_all(counted_from))
        await asyncio.wait([self.sender])
        if not self.sender.cancelled():
            self.sender.result()
        await self._all_landed.wait()

    async def _send_all(self, counted_from: float) -> None:
        for operation in operations(self.plan, self.random):
            intended = counted_from + operation.at
            await asyncio.sleep(max(0.0, intended - self._now()))
            self._send(operation, intended)

    def _send(self, operation: Operation, intended: float) -> None:
        counts = operation.at >= 0
        if self._in_flight >= self.plan.max_in_flight:
            self.tally.dropped += counts
            return
        data = self._put(operation.key, operation.size) if operation.size else self._get(operation.key)
        if counts:
            self.tally.sent += 1
            self.tally.slip.add(self._now() - intended)
        self._in_flight += 1
        self._all_landed.clear()
        self.pool.request(data, partial(self._landed, operation, intended))

    def _landed(self, operation: Operation, intended: float, outcome: Answer | str) -> None:
        latency_s = self._now() - intended
        self._in_flight -= 1
        if not self._in_flight:
            self._all_landed.set()
        if operation.at < 0:
            return
        if operation.size:
            self.tally.writes.add(latency_s)
            error = _error_of_write(outcome)
        else:
            self.tally.reads.add(latency_s)
            if not isinstance(outcome, str) and outcome.is_cached:
                self.tally.hits.add(latency_s)
            error = _error_of_read(key_name(self.run, operation.key), outcome)
        if error:
            self.tally.errors[error] += 1

    def _get(self, number: int) -> bytes:
        return f"GET {self._address}{key_name(self.run, number)}{self._headers}\r\n".encode()

    def _put(self, number: int, size: int) -> bytes:
        key = key_name(self.run, number)
        self._sequence += 1
        value = make(Stamp(key, self.run, self._sequence, size))
        head = f"PUT {self._address}{key}{self._headers}Content-Length: {len(value)}\r\n\r\n"
        return head.encode() + value


def _error_of_read(key: str, outcome: Answer | str) -> str | None:
    if isinstance(outcome, str):
        return outcome
    if outcome.status == 404:
        return LOST  # every key was written, and acknowledged, in `prepare`
    if outcome.status != 200:
        return f"http {outcome.status}"
    return None if check(key, outcome.body) else WRONG


def _error_of_write(outcome: Answer | str) -> str | None:
    if isinstance(outcome, str):
        return outcome
    return None if 200 <= outcome.status < 300 else f"http {outcome.status}"

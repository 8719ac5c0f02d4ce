"""Sends the load: the only part that does I/O.

One session a region, keep-alive, no redirects. Every answer is counted in the region's `Tally`, which others may read
while the load runs. (aiohttp repeats a request once when a kept-alive connection turns out to be closed, as HTTP
clients do.)
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Self

import aiohttp

from kvctl.errors import TargetError
from kvctl.load.report import CONNECTION, LOST, TIMEOUT, WRONG, Tally
from kvctl.load.schedule import Operation, Plan, operations, value_size
from kvctl.load.values import Stamp, check, key_name, make

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

    async def __aenter__(self) -> Self:
        for region in self._regions:
            region.connect()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for region in self._regions:
            await region.session.close()

    async def prepare(self) -> None:
        """Write every key once, unmeasured, so that every read has something to find. Raises TargetError."""
        await asyncio.gather(*(region.prepare() for region in self._regions))

    async def run(self) -> float:
        """Send until the plan's duration is over or `stop()`; returns the seconds it took to the last answer."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.gather(*(region.drive() for region in self._regions))
        return loop.time() - started

    def stop(self) -> None:
        """Send nothing more; what is in flight is still awaited and counted."""
        for region in self._regions:
            if region.sender:
                region.sender.cancel()


class _Region:
    session: aiohttp.ClientSession

    def __init__(self, target: Target, plan: Plan, run: str, random: Random) -> None:
        self.target, self.plan, self.run, self.random = target, plan, run, random
        self.tally = Tally()
        self.sender: asyncio.Task[None] | None = None
        self._sequence = 0

    def connect(self) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # what is in flight is bounded by the plan
            timeout=aiohttp.ClientTimeout(total=self.plan.timeout_s),
            headers={"Host": self.target.host} if self.target.host else {},
            auto_decompress=False,
        )

    async def prepare(self) -> None:
        errors: Counter[str] = Counter()
        keys = iter(range(self.plan.keys))

        async def work() -> None:
            for key in keys:
                if error := await self._put(key, value_size(self.plan, self.random)):
                    errors[error] += 1

        await asyncio.gather(*(work() for _ in range(_PREPARING_AT_ONCE)))
        if errors:
            said = ", ".join(f"{kind}: {count}" for kind, count in errors.most_common())
            raise TargetError(
                f"{self.target.region} at {self.target.url} refused {errors.total()} of {self.plan.keys} "
                f"first writes ({said}); is the service ready there, and the address right?"
            )

    async def drive(self) -> None:
        async with asyncio.TaskGroup() as flights:
            self.sender = flights.create_task(self._send_all(flights))

    async def _send_all(self, flights: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for operation in operations(self.plan, self.random):
            intended = started + operation.at
            await asyncio.sleep(max(0.0, intended - loop.time()))
            if self.tally.sent - self.tally.done >= self.plan.max_in_flight:
                self.tally.dropped += 1
                continue
            self.tally.sent += 1
            flights.create_task(self._send(operation, intended))

    async def _send(self, operation: Operation, intended: float) -> None:
        if operation.size:
            histogram, error = self.tally.writes, await self._put(operation.key, operation.size)
        else:
            histogram, error = self.tally.reads, await self._get(operation.key)
        histogram.add(asyncio.get_running_loop().time() - intended)
        if error:
            self.tally.errors[error] += 1

    async def _get(self, number: int) -> str | None:
        key = key_name(self.run, number)
        status, body = await self._request("GET", key, None)
        if isinstance(status, str):
            return status
        if status == 404:
            return LOST  # every key was written, and acknowledged, in `prepare`
        if status != 200:
            return f"http {status}"
        return None if check(key, body) else WRONG

    async def _put(self, number: int, size: int) -> str | None:
        key = key_name(self.run, number)
        self._sequence += 1
        status, _ = await self._request("PUT", key, make(Stamp(key, self.run, self._sequence, size)))
        if isinstance(status, str):
            return status
        return None if 200 <= status < 300 else f"http {status}"

    async def _request(self, method: str, key: str, data: bytes | None) -> tuple[int | str, bytes]:
        """Status and body; in the place of the status the kind of failure when there was no answer."""
        url = f"{self.target.url}/v1/kv/{NAMESPACE}/{key}"
        try:
            async with self.session.request(method, url, data=data, allow_redirects=False) as response:
                return response.status, await response.read()
        except TimeoutError:
            return TIMEOUT, b""
        except aiohttp.ClientError:
            return CONNECTION, b""

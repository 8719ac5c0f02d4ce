"""Who is looked at when: one task for each KVCluster, so that one that fails or hangs never holds up another.

Wakes that come while a pass runs are one wake. A pass says when time alone will change its answer; one that fails is
repeated after a delay that doubles, with jitter, up to a limit, and sooner if anything happens meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from kvoperator.errors import OperatorError, StaleError
from kvoperator.ports import Clock
from kvoperator.reconcile.mirror import Key

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 60.0

_log = structlog.get_logger()


@dataclass(frozen=True)
class Again:
    """When to look again: at `at`, and if the pass `failed` to do all it wanted also after the delay."""

    at: datetime | None = None
    failed: bool = False


class Queue:
    """`look`: one pass. `jitter`: a random share of the delay, 0 to 1. Nothing runs before `open`."""

    def __init__(self, look: Callable[[Key], Awaitable[Again]], clock: Clock, jitter: Callable[[], float]) -> None:
        self._look, self._clock, self._jitter = look, clock, jitter
        self._opened = asyncio.Event()
        self._wakes: dict[Key, asyncio.Event] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    def open(self) -> None:
        """To be called when the mirror is whole: no pass may act on half a view."""
        self._opened.set()

    def wake(self, key: Key) -> None:
        self._wakes.setdefault(key, asyncio.Event()).set()
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._run(key), name=f"{key[0]}/{key[1]}")

    def forget(self, key: Key) -> None:
        """The KVCluster is gone: ends its task. A pass that is under way is cut short, as by a crash."""
        self._wakes.pop(key, None)
        if task := self._tasks.pop(key, None):
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for key in list(self._tasks):
            self.forget(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: Key) -> None:
        wake, failures = self._wakes[key], 0
        await self._opened.wait()
        while True:
            wake.clear()
            again = await self._pass(key)
            failures = failures + 1 if again.failed else 0
            await self._wait(wake, again.at, self._delay(failures) if failures else None)

    async def _pass(self, key: Key) -> Again:
        try:
            return await self._look(key)
        except StaleError:
            pass  # the watch is about to bring what we missed
        except OperatorError as error:
            _log.warning("pass_failed", namespace=key[0], cluster=key[1], error=str(error))
        except Exception:
            _log.exception("pass_broke", namespace=key[0], cluster=key[1])
        return Again(failed=True)

    def _delay(self, failures: int) -> float:
        longest = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, 20))
        return longest * (1 - self._jitter() / 2)

    async def _wait(self, wake: asyncio.Event, at: datetime | None, delay_s: float | None) -> None:
        due = None if at is None else max(0.0, (at - self._clock.now()).total_seconds())
        timeouts = [timeout for timeout in (due, delay_s) if timeout is not None]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), min(timeouts, default=None))

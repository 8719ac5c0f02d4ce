"""The pod with a stopwatch at each step of each task, which can also draw a read's visits out to times of a given law.

`KV_STEPS_FILE` names the file that is written when the pod ends: JSON, {name of the coroutine: [[[begin, seconds] of
each step], …]}. `KV_STEPS_PACE`: JSON, [[mean, CV] of each visit of a read], s: the step spins until a time drawn from
the lognormal law of that mean and CV is over. The service's own work is within it, and so is what the machine makes of
that work, unless it takes longer than the time drawn. The cache's timeout is longer then, too: else a read that waits
for the event loop would take that for a cache that is down, and go to the store.
"""

import asyncio
import json
import math
import os
from collections import defaultdict
from collections.abc import Coroutine, Generator
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import uvloop

from kvservice import main as kvservice
from kvservice.cache import shard

REQUEST, SENDING = "RequestResponseCycle.run_asgi", "AbstractConnection._send_packed_command"  # tasks of a read

_SLOWER = 10  # about as much as paced steps are slower than the service's own

_file = os.environ.get("KV_STEPS_FILE")
_found: dict[str, list[list[tuple[float, float]]]] = defaultdict(list)
_random = Random()
_pace: list[tuple[float, float]] = json.loads(os.environ.get("KV_STEPS_PACE", "[]"))
_first = dict(zip((REQUEST, SENDING), _pace, strict=False))  # task -> the law of its first step
_last = dict(zip((REQUEST,), _pace[2:], strict=False))


class _Timed(Coroutine[Any, Any, Any]):
    """A coroutine that is stepped by an event loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._name = getattr(coroutine, "__qualname__", "")
        self._steps: list[tuple[float, float]] = []

    def send(self, value: Any) -> Any:
        begin = perf_counter()
        is_last = False
        try:
            return self._coroutine.send(value)
        except StopIteration:
            is_last = True
            raise
        finally:
            until = begin + (0.0 if self._steps else _drawn(_first, self._name)) + is_last * _drawn(_last, self._name)
            while perf_counter() < until:
                pass
            self._steps.append((begin, perf_counter() - begin))
            if is_last and _file:
                _found[self._name].append(self._steps)

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


def _drawn(laws: dict[str, tuple[float, float]], name: str) -> float:
    if name not in laws:
        return 0.0
    mean, cv = laws[name]
    scv = math.log1p(cv**2)
    return _random.lognormvariate(math.log(mean) - scv / 2, math.sqrt(scv))


def main() -> None:
    plain = uvloop.new_event_loop

    def timed() -> uvloop.Loop:
        loop = plain()
        loop.set_task_factory(lambda loop, work, **more: asyncio.Task(_Timed(work), loop=loop, **more))
        return loop

    uvloop.new_event_loop = timed
    if _pace:
        shard.TIMEOUT_S *= _SLOWER
    kvservice.main()
    if _file:
        Path(_file).write_text(json.dumps(_found))

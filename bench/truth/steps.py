"""The pod with a stopwatch at each step of each task, which it writes down when it ends. For the calibration only: the
runs that are judged have the pod as it is.

`KV_STEPS_FILE` names the file: JSON, {name of the coroutine: [[[begin, seconds] of each step], …]}.
"""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Coroutine, Generator
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop

from kvservice import main as kvservice

_found: dict[str, list[list[tuple[float, float]]]] = defaultdict(list)


class _Timed(Coroutine[Any, Any, Any]):
    """A coroutine that is stepped by an event loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._steps: list[tuple[float, float]] = []

    def send(self, value: Any) -> Any:
        begin = perf_counter()
        try:
            return self._coroutine.send(value)
        except StopIteration:
            _found[getattr(self._coroutine, "__qualname__", "")].append(self._steps)
            raise
        finally:
            self._steps.append((begin, perf_counter() - begin))

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


def main() -> None:
    plain = uvloop.new_event_loop

    def timed() -> uvloop.Loop:
        loop = plain()
        loop.set_task_factory(lambda loop, work, **more: asyncio.Task(_Timed(work), loop=loop, **more))
        return loop

    uvloop.new_event_loop = timed
    kvservice.main()
    Path(os.environ["KV_STEPS_FILE"]).write_text(json.dumps(_found))

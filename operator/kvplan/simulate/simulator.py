"""Runs a system."""

import numpy as np

from kvplan.errors import InputError
from kvplan.simulate.findings import Run
from kvplan.simulate.memory import by_events
from kvplan.simulate.stages import by_stages, order
from kvplan.system import System


def run(system: System, *, requests: int, seed: int, warmup: float = 0.1) -> Run:
    """Simulates that many requests, and leaves the first of them out, `warmup` of all. The same seed gives the same.

    Raises UnstableError if a station is offered work for 1 or more, InputError if there is nothing to simulate.
    """
    if not 0 <= warmup < 1:
        raise InputError(f"the warm-up is {warmup:g} of all requests; expected 0 or more, below 1")
    first = int(requests * warmup)
    if requests - first < 2:
        raise InputError(f"{requests} requests, {max(first, 0)} of them to warm up; expected 2 or more after these")
    system.check_stable()
    random, stations = np.random.default_rng(seed), order(system)
    if stations is None:
        return by_events(system, requests, first, random)
    return by_stages(system, stations, requests, first, random)

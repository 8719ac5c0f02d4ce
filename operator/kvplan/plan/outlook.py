"""How chosen sizes do in other worlds than the middle one: latencies, and whether the objectives hold."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

from kvplan.errors import InputError, KvplanError
from kvplan.model import COARSE
from kvplan.plan.growth import in_month
from kvplan.plan.inputs import Inputs
from kvplan.plan.outcome import RegionSize
from kvplan.plan.states import Kind, Situation, decisive, hits, latency, missed, situations, system_in
from kvplan.system import System

Sizes = Mapping[str, RegionSize]  # by region
Latencies = Mapping[tuple[str, float], float]  # (region, percentile) -> seconds
PERCENTILES = (50.0, 95.0, 99.0)
LATER = 4  # one in so many worlds is looked at again in the last month
WORTH = 64  # worlds that are worth the time that processes take to start


@dataclass(frozen=True)
class Outlook:
    """`latencies`: in each world, in the first month. `first` and `last`: the share of the worlds in which the
    objectives hold in these months."""

    latencies: Sequence[Latencies]
    first: float
    last: float


def outlook(worlds: Sequence[Inputs], first: Sizes, months: int, last: Sizes, *, workers: int = 1) -> Outlook:
    """Of sizes of the first month and of the last. `workers`: processes that share the work."""
    later = [in_month(world, months) for world in worlds[::LATER]] if months > 1 else []
    looks: list[Callable[[], Any]] = [
        *(partial(latencies, world, first) for world in worlds),
        *(partial(holds, world, first) for world in worlds),
        *(partial(holds, world, last) for world in later),
    ]
    found = _all(looks, workers if len(worlds) >= WORTH else 1)
    count = len(worlds)
    now, then = found[count : 2 * count], found[2 * count :]
    share = sum(now) / count
    return Outlook(found[:count], share, sum(then) / len(then) if then else share)


def latencies(world: Inputs, sizes: Sizes) -> Latencies:
    """At peak with nothing lost; infinite if unstable."""
    found: dict[System, Mapping[float, float]] = {}  # equal regions are looked at once
    seconds: dict[tuple[str, float], float] = {}
    for region in world.regions:
        path = _path(world, sizes[region.name], situations(world, region)[Kind.NORMAL])
        quantiles = found[path] = found.get(path) or _quantiles(world, path)
        seconds |= {(region.name, percentile): quantiles[percentile] for percentile in PERCENTILES}
    return seconds


def holds(world: Inputs, sizes: Sizes) -> bool:
    """All objectives in all regions, with a zone and with a region lost. Looks at the busiest first: one that does not
    hold is enough."""
    try:
        paths = {_path(world, sizes[region.name], each) for region in world.regions for each in decisive(world, region)}
    except InputError:  # no pod, or no quorum, is left
        return False
    busiest_first = sorted(paths, key=_load, reverse=True)
    return all(_load(path) < 1 and not missed(world, latency(world, path, COARSE)) for path in busiest_first)


def _all(looks: Sequence[Callable[[], Any]], workers: int) -> list[Any]:
    if workers == 1:
        return [look() for look in looks]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_done, looks, chunksize=16))


def _done(look: Callable[[], Any]) -> Any:
    return look()


def _quantiles(world: Inputs, path: System) -> Mapping[float, float]:
    try:
        return latency(world, path, COARSE).latency.quantiles
    except KvplanError:
        return dict.fromkeys(PERCENTILES, math.inf)


def _path(world: Inputs, size: RegionSize, situation: Situation) -> System:
    return system_in(world, size, situation, hits(world, size, situation))


def _load(path: System) -> float:
    return max(path.loads().values())

"""How chosen sizes do in another world than the middle one: latencies, and whether the objectives hold."""

import math
from collections.abc import Mapping

from kvplan.errors import KvplanError
from kvplan.model import COARSE
from kvplan.plan.inputs import Inputs
from kvplan.plan.outcome import RegionSize
from kvplan.plan.states import Kind, Situation, decisive, hits, latency, missed, situations, system_in
from kvplan.system import System

Sizes = Mapping[str, RegionSize]  # by region
PERCENTILES = (50.0, 95.0, 99.0)


def latencies(world: Inputs, sizes: Sizes) -> Mapping[tuple[str, float], float]:
    """(region, percentile) -> seconds at peak with nothing lost; infinite if unstable."""
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
    paths = {
        _path(world, sizes[region.name], situation) for region in world.regions for situation in decisive(world, region)
    }
    busiest_first = sorted(paths, key=_load, reverse=True)
    return all(_load(path) < 1 and not missed(world, latency(world, path, COARSE)) for path in busiest_first)


def _quantiles(world: Inputs, path: System) -> Mapping[float, float]:
    try:
        return latency(world, path, COARSE).latency.quantiles
    except KvplanError:
        return dict.fromkeys(PERCENTILES, math.inf)


def _path(world: Inputs, size: RegionSize, situation: Situation) -> System:
    return system_in(world, size, situation, hits(world, size, situation))


def _load(path: System) -> float:
    return max(path.loads().values())

"""How a chosen plan does in other worlds than the middle one: latencies, and whether the objectives hold.

Latencies are computed for the first and the last month, on the coarse grid; between them, what the worlds add to the
middle's latency is taken to change evenly.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kvplan.errors import KvplanError
from kvplan.model import COARSE
from kvplan.plan.inputs import Inputs
from kvplan.plan.outcome import RegionSize
from kvplan.plan.states import Kind, Situation, decisive, hits, latency, missed, situations, system_in
from kvplan.system import System

Sizes = Mapping[str, RegionSize]  # by region
PERCENTILES = (50.0, 95.0, 99.0)


@dataclass(frozen=True)
class Outlook:
    """In each world: (region, percentile) -> seconds at peak with nothing lost, infinite if unstable; and whether all
    objectives hold in all regions, with a zone and with a region lost."""

    latencies: Sequence[Mapping[tuple[str, float], float]]
    holds: Sequence[bool]


def outlook(worlds: Sequence[Inputs], sizes: Sizes) -> Outlook:
    """`worlds` are of the month that `sizes` are of."""
    return Outlook([_latencies(world, sizes) for world in worlds], [_holds(world, sizes) for world in worlds])


def _latencies(world: Inputs, sizes: Sizes) -> dict[tuple[str, float], float]:
    found: dict[tuple[str, float], float] = {}
    for region in world.regions:
        path = _path(world, sizes[region.name], situations(world, region)[Kind.NORMAL])
        try:
            quantiles: Mapping[float, float] = latency(world, path, COARSE).latency.quantiles
        except KvplanError:
            quantiles = dict.fromkeys(PERCENTILES, math.inf)
        found |= {(region.name, percentile): quantiles[percentile] for percentile in PERCENTILES}
    return found


def _holds(world: Inputs, sizes: Sizes) -> bool:
    """Looks at the busiest first: one state that does not hold is enough."""
    paths = [
        _path(world, sizes[region.name], situation) for region in world.regions for situation in decisive(world, region)
    ]
    paths.sort(key=_load, reverse=True)
    return all(_load(path) < 1 and not missed(world, latency(world, path, COARSE)) for path in paths)


def _path(world: Inputs, size: RegionSize, situation: Situation) -> System:
    return system_in(world, size, situation, hits(world, size, situation))


def _load(path: System) -> float:
    return max(path.loads().values())

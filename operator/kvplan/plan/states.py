"""The states that a region's size must hold at peak, and how it does in each.

normal         nothing is lost
zone lost      the fullest zone is gone with its pods, shards, nodes and copies; the cache that is left is warm again
region lost    the largest other region is gone, and the rest take its part in proportion
cache cold     10 s after the cache was emptied. Each record that was asked for is filled once (requests join one
               fill, and leases see to it in the region), so all that the store has to read in these 10 s is the
               different records of 10 s of traffic. It must be able to do that beside the writes, and the pods too;
               until it is done, what is too much is shed. No objective has to hold meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from kvplan.errors import InputError, UnstableError
from kvplan.model import FINE, Prediction, predict
from kvplan.plan.caching import entries_of, hit_rate, zipf
from kvplan.plan.inputs import Inputs, Region, mid
from kvplan.plan.outcome import RegionSize, State
from kvplan.plan.topology import copies_left, quorum, share_with_region_lost, system, without_zones
from kvplan.system import System

WARM_UP = 10.0
"""Seconds from an empty cache to an end of shedding: what the service promises after a flush at peak."""
COLD_LOAD = 0.95
"""Of any station while the cache is cold: only not growing queues are asked for, for 10 s."""


class Kind(StrEnum):
    NORMAL = "normal"
    ZONE_LOST = "zone lost"
    REGION_LOST = "region lost"
    CACHE_COLD = "cache cold"


@dataclass(frozen=True)
class Situation:
    """A region in a state. `share`: of the world's requests that come here."""

    kind: Kind
    region: Region
    share: float

    @property
    def zones_lost(self) -> int:
        return int(self.kind is Kind.ZONE_LOST)

    def rate(self, inputs: Inputs) -> float:
        return mid(inputs.workload.peak_qps) * self.share


def situations(inputs: Inputs, region: Region) -> Mapping[Kind, Situation]:
    """Those that the plan must hold. A zone is not lost without a quorum that survives it, no region without another
    one."""
    kinds = {Kind.NORMAL: region.share}
    if survives_zone(inputs, region):
        kinds[Kind.ZONE_LOST] = region.share
    if len(inputs.regions) > 1:
        kinds[Kind.REGION_LOST] = share_with_region_lost(inputs, region)
    kinds[Kind.CACHE_COLD] = region.share
    return {kind: Situation(kind, region, share) for kind, share in kinds.items()}


def decisive(inputs: Inputs, region: Region) -> tuple[Situation, ...]:
    """Objectives that hold in these hold in all: a lost zone is harder than none."""
    found = situations(inputs, region)
    easy = {Kind.CACHE_COLD, Kind.NORMAL if Kind.ZONE_LOST in found else None}
    return tuple(each for kind, each in found.items() if kind not in easy)


def survives_zone(inputs: Inputs, region: Region) -> bool:
    return copies_left(inputs, region, 1) >= quorum(inputs)


def hits(inputs: Inputs, size: RegionSize, situation: Situation) -> float:
    """Hit rate of the reads."""
    workload = inputs.workload
    reads = situation.rate(inputs) * workload.reads
    popularity = zipf(mid(workload.records), mid(workload.skew))
    left = without_zones(size, situation.region.zones, situation.zones_lost)
    entries = entries_of(left.cache_shards * left.cache_bytes, workload)
    warm = hit_rate(popularity, entries=entries, rate=reads, ttl=inputs.cache.ttl)
    if situation.kind is not Kind.CACHE_COLD or reads == 0:
        return warm
    asked = reads * WARM_UP
    return min(warm, max(1 - popularity.distinct(asked) / asked, 0.0))


def system_in(inputs: Inputs, size: RegionSize, situation: Situation, hit: float) -> System:
    """Raises InputError if a quorum needs more nodes than there are."""
    return system(
        inputs,
        size,
        region=situation.region,
        rate=situation.rate(inputs),
        hit_rate=hit,
        share=situation.share,
        zones_lost=situation.zones_lost,
    )


def latency(inputs: Inputs, path: System, resolution: int = FINE) -> Prediction:
    """With what the objectives ask about."""
    percentiles = sorted({50.0, 95.0, 99.0, 99.9, *inputs.objectives})
    return predict(path, percentiles=percentiles, thresholds=[*inputs.objectives.values()], resolution=resolution)


def missed(inputs: Inputs, prediction: Prediction) -> list[float]:
    """Percentiles of the objectives that do not hold."""
    within = prediction.latency.within
    return [percentile for percentile, seconds in inputs.objectives.items() if within[seconds] < percentile / 100]


def state(inputs: Inputs, size: RegionSize, situation: Situation) -> State:
    """How the region does, in numbers and in a sentence; without a prediction if it is unstable."""
    rate, hit = situation.rate(inputs), hits(inputs, size, situation)
    prediction, holds = None, False
    try:
        path = system_in(inputs, size, situation, hit)
        prediction = latency(inputs, path)
        holds, why = _judged(inputs, path, situation.kind, prediction)
    except (InputError, UnstableError) as error:
        why = str(error)
    return State(situation.kind, situation.region.name, rate, hit, prediction, holds, why)


def _judged(inputs: Inputs, path: System, kind: Kind, prediction: Prediction) -> tuple[bool, str]:
    if kind is Kind.CACHE_COLD:
        name, load = max(path.loads().items(), key=lambda each: each[1])
        return load <= COLD_LOAD, f"load of {name} {load:.2f}, expected up to {COLD_LOAD}; objectives need not hold"
    late = missed(inputs, prediction)
    said = [
        f"p{percentile:g} {prediction.latency.quantiles[percentile] * 1e3:.3g} ms, "
        f"{'over' if percentile in late else 'within'} {seconds * 1e3:.3g} ms"
        for percentile, seconds in sorted(inputs.objectives.items())
    ]
    return not late, "; ".join(said)

"""The cheapest size of a region that holds every objective in every state.

Tried are cache memories on a fixed scale (a factor of the square root of 2 apart, until every record fits). With each,
the rules of `sizing` say how many shards and store nodes there must be, and how many pods at least; the objectives may
ask for more pods, found by bisection: more pods make no request slower. A memory whose cost with the least pods is
above the best found is not looked at.

Cost rises with QPS, data and tighter objectives: for each memory on the scale, and so for the cheapest. One thing cuts
across: with a time to live, more QPS means more hits, so an objective that lies between the latency of a hit and that
of a miss may be out of reach for a quiet region and not for a busy one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from kvplan.errors import InputError, KvplanError
from kvplan.model import COARSE, Prediction, predict
from kvplan.plan import sizing
from kvplan.plan.bill import bill
from kvplan.plan.caching import entries_of
from kvplan.plan.inputs import Inputs, Region, mid
from kvplan.plan.outcome import RegionSize
from kvplan.plan.prices import PriceTable
from kvplan.plan.quantities import quantities
from kvplan.plan.sizing import Need, Work
from kvplan.plan.states import Kind, Situation, decisive, hits, situations, system_in
from kvplan.plan.topology import POD

LEAST_MEMORY = 256 * 2**20  # of all shards of a region
MEMORY_STEP = 16 * 2**20  # of a shard
COARSE_ERROR = 0.002  # of a percentile on the coarse grid: objectives are tried that much tighter
IDLE = 0.05  # load of pods that next to nobody waits for
_WIDE = 2520  # of each station, to see how busy it is: any number of zones, and no quorum lacks nodes


@dataclass(frozen=True)
class Choice:
    """`needs`: pods, shards and nodes -> what asks for so many. `cost`: a month, of the region alone. `holds`: False
    only where parts of the size were given, and do not do."""

    size: RegionSize
    needs: Mapping[str, Need]
    cost: float
    holds: bool


def smallest(inputs: Inputs, region: Region, prices: PriceTable, today: date) -> Choice:
    """Raises InputError if an objective cannot be reached at any size; if parts of the size are given, they may be what
    is in the way, and the choice is what the rules of load ask for."""
    search = _Search(inputs, region, prices, today)
    drafts = sorted((search.draft(memory) for memory in _memories(inputs)), key=lambda draft: draft.cost)
    best: Choice | None = None
    for draft in drafts:
        if best is not None and draft.cost >= best.cost:
            break
        found = search.completed(draft)
        if found is not None and (best is None or found.cost < best.cost):
            best = found
    if best is not None:
        return best
    if region.pods or inputs.storage.nodes or (inputs.cache.shards and inputs.cache.memory_bytes):
        return search.choice(drafts[0], holds=False)
    raise InputError(
        search.unreachable(max(drafts, key=lambda draft: draft.size.cache_shards * draft.size.cache_bytes))
    )


@dataclass(frozen=True)
class _Draft:
    """A size with the least pods; `hit` in each state."""

    size: RegionSize
    needs: Mapping[str, Need]
    cost: float
    hit: Mapping[Kind, float]


class _Search:
    def __init__(self, inputs: Inputs, region: Region, prices: PriceTable, today: date) -> None:
        self._inputs = inputs
        self._region = region
        self._prices = prices
        self._today = today
        self._situations = situations(inputs, region)
        self._hot = [each.kind for each in decisive(inputs, region)]  # the last to fail comes first

    def draft(self, memory: float) -> _Draft:
        """With `memory` bytes of cache."""
        inputs, region = self._inputs, self._region
        count = inputs.cache.shards or region.zones  # those chosen are as many in every zone
        wide = RegionSize(region.name, _WIDE, count, memory / count, _WIDE, 0.0, "")
        hit = {kind: hits(inputs, wide, each) for kind, each in self._situations.items()}
        work = [self._work(each, hit[kind]) for kind, each in self._situations.items()]
        needs = {
            "pods": sizing.given(region.pods) or sizing.pods(region, work),
            "shards": sizing.given(inputs.cache.shards) or sizing.shards(inputs, region, work, memory),
            "nodes": sizing.given(inputs.storage.nodes) or sizing.nodes(inputs, region, work),
        }
        shards, nodes = needs["shards"].count, needs["nodes"].count
        each = inputs.cache.memory_bytes or math.ceil(memory / shards / MEMORY_STEP) * MEMORY_STEP
        disk = sizing.disk_of_node(inputs, nodes)
        size = RegionSize(region.name, needs["pods"].count, shards, each, nodes, disk, _binds(needs))
        return _Draft(size, needs, self._cost(size, hit[Kind.NORMAL]), hit)

    def completed(self, draft: _Draft) -> Choice | None:
        """With the pods that the objectives ask for; None if no number of them does."""
        fails, misses = draft.needs["pods"].count, self._missed(draft, draft.needs["pods"].count)
        if not misses:
            return self.choice(draft, holds=True)
        holds = self._idle
        if self._region.pods or self._missed(draft, holds):
            return None
        while holds - fails > 1:
            between = min((fails + holds) // 2, math.ceil(fails * 1.2))  # mostly a few more are enough
            if missed := self._missed(draft, between):
                fails, misses = between, missed
            else:
                holds = between
        need = Need(holds, misses, f"{fails} pods miss {misses}; {holds} hold it")
        return self.choice(replace(draft, needs={**draft.needs, "pods": need}), holds=True)

    def choice(self, draft: _Draft, *, holds: bool) -> Choice:
        size = replace(draft.size, pods=draft.needs["pods"].count, binds=_binds(draft.needs))
        return Choice(size, draft.needs, self._cost(size, draft.hit[Kind.NORMAL]), holds)

    def unreachable(self, draft: _Draft) -> str:
        """Which objective `draft` misses although nobody waits for its pods, and what takes the time."""
        objectives = self._inputs.objectives
        predictions = {kind: self._predicted(draft, self._idle, kind) for kind in self._hot}
        worst, percentile, kind = max(
            (prediction.latency.quantiles[late] / objectives[late], late, kind)
            for kind, prediction in predictions.items()
            for late in self._late(prediction)
        )
        slowest = max(predictions[kind].classes[0].parts, key=lambda part: part.mean)
        asked, best = objectives[percentile] * 1e3, worst * objectives[percentile] * 1e3
        return (
            f"p{percentile:g} within {asked:g} ms cannot be reached in {self._region.name}: with idle pods and every "
            f"record in the cache it is {best:.3g} ms ({kind}), of which {slowest.name} alone takes "
            f"{slowest.mean * 1e3:.3g} ms on average; ask for more than that, or make that faster"
        )

    @cached_property
    def _idle(self) -> int:
        """Pods that next to nobody waits for."""
        busiest = max(self._work(each, hit=0.0).busy[POD] for each in self._situations.values())
        return math.ceil(busiest / IDLE) + 2 * self._region.zones

    def _work(self, situation: Situation, hit: float) -> Work:
        """On the straight line between no hits and nothing but hits."""
        missing, hitting = self._ends[situation.kind]
        busy = {station: missing[station] * (1 - hit) + hitting[station] * hit for station in missing}
        return Work(situation.kind, busy, situation.zones_lost)

    @cached_property
    def _ends(self) -> Mapping[Kind, tuple[Mapping[str, float], Mapping[str, float]]]:
        wide = RegionSize(self._region.name, _WIDE, _WIDE, 0.0, _WIDE, 0.0, "")

        def busy(situation: Situation, hit: float) -> Mapping[str, float]:
            path = system_in(self._inputs, wide, situation, hit)
            servers = {station.name: station.servers * station.pools for station in path.stations}
            return {name: load * servers[name] for name, load in path.loads().items()}

        return {kind: (busy(each, 0.0), busy(each, 1.0)) for kind, each in self._situations.items()}

    def _missed(self, draft: _Draft, pods: int) -> str:
        """What does not hold with so many pods, and in which state; empty if all does."""
        for kind in self._hot:
            try:
                late = self._late(self._predicted(draft, pods, kind))
            except KvplanError as error:  # unstable, or without a quorum
                return str(error)
            if late:
                self._hot.remove(kind)
                self._hot.insert(0, kind)
                return f"p{late[0]:g} within {self._inputs.objectives[late[0]] * 1e3:g} ms, {kind}"
        return ""

    def _predicted(self, draft: _Draft, pods: int, kind: Kind) -> Prediction:
        path = system_in(self._inputs, replace(draft.size, pods=pods), self._situations[kind], draft.hit[kind])
        thresholds = [self._tried(seconds) for seconds in self._inputs.objectives.values()]
        return predict(path, percentiles=sorted(self._inputs.objectives), thresholds=thresholds, resolution=COARSE)

    def _late(self, prediction: Prediction) -> list[float]:
        """Percentiles of the objectives that are missed."""
        within = prediction.latency.within
        objectives = self._inputs.objectives.items()
        return [percentile for percentile, seconds in objectives if within[self._tried(seconds)] < percentile / 100]

    def _tried(self, seconds: float) -> float:
        return seconds * (1 - COARSE_ERROR)

    def _cost(self, size: RegionSize, hit_rate: float) -> float:
        used = quantities(self._inputs, size, self._region, hit_rate=hit_rate, prices=self._prices)
        return bill([used], self._prices, self._today).total


def _memories(inputs: Inputs) -> list[float]:
    """Of all shards of a region, in bytes; the largest holds every record even with a zone lost."""
    cache = inputs.cache
    if cache.shards and cache.memory_bytes:
        return [cache.shards * cache.memory_bytes]
    memories = [float(LEAST_MEMORY)]
    while entries_of(memories[-1] / 2, inputs.workload) < mid(inputs.workload.records):
        memories.append(memories[-1] * math.sqrt(2))
    return memories


def _binds(needs: Mapping[str, Need]) -> str:
    return "; ".join(f"{what}: {need.why}" for what, need in needs.items())

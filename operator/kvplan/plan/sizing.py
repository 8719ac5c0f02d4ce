"""How much a region needs for its load and its data, by rules of headroom; latency is `search`'s.

A rule asks for headroom in every state that must be held: with a zone lost, what is left is as busy as the rule lets
it be, not more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kvplan.errors import InputError
from kvplan.plan.caching import zipf
from kvplan.plan.growth import data_bytes
from kvplan.plan.inputs import Inputs, Region, mid
from kvplan.plan.states import COLD_LOAD, WARM_UP, Kind
from kvplan.plan.topology import CACHE, POD, STORE

POD_LOAD = 0.85
"""Of a pod's event loop. Beyond it, a CPU time per request that is 5 % more moves p95 by a third, and the queueing
model is less sure of itself."""

PODS_A_ZONE = 1  # at least, and two in all: one is always restarting somewhere

SHARD_LOAD = 0.6
"""Of a cache server, which is one thread: a slow command of one client delays all, and keys are not spread evenly."""

SHARD_MOST_BYTES = 32 * 2**30  # a lost shard is refilled by the store, and a larger one for longer

STORE_LOAD = 0.7
"""Of a node's workers: compaction, repair and hints need the rest, most of all after a zone was lost."""

STORED_PER_LIVE = 1.1
"""Bytes on disk over bytes of live records: with leveled compaction about a tenth is versions that are overwritten."""

SNAPSHOT_SHARE = 0.3
"""Of the files, what a snapshot keeps on the disk that compaction has replaced since it was taken."""

DISK_FILL = 0.6
"""How full a disk may be: compaction writes new files beside the old ones, and a node that comes back is streamed
what it missed."""

NODE_MOST_BYTES = 2 * 2**40  # of disk: beyond it, replacing a node takes longer than a day

DISK_STEP = 10 * 2**30

RULES = (
    (
        f"pods are at most {POD_LOAD:.0%} busy, cache shards {SHARD_LOAD:.0%} and store nodes {STORE_LOAD:.0%}, also "
        f"with a zone or a region lost; {WARM_UP:g} s after the cache was emptied at peak nothing is more than "
        f"{COLD_LOAD:.0%} busy, and until then the pods shed what is too much"
    ),
    (
        f"disks are at most {DISK_FILL:.0%} full, for compaction, with {STORED_PER_LIVE - 1:.0%} for overwritten "
        f"versions and {SNAPSHOT_SHARE:.0%} for a snapshot"
    ),
)
"""What is kept free, in words."""


@dataclass(frozen=True)
class Need:
    """`why`: what asks for so many, in words; `formula`: with the numbers filled in."""

    count: int
    why: str
    formula: str


@dataclass(frozen=True)
class Work:
    """How many servers of each station are busy in a state, all pools together."""

    kind: Kind
    busy: Mapping[str, float]
    zones_lost: int


def pods(region: Region, work: list[Work]) -> Need:
    """By load alone."""
    least = max(PODS_A_ZONE * region.zones, 2)
    return _most([_for_load(region, each, POD, POD_LOAD) for each in work] + [_least(least, "two, and one a zone")])


def shards(inputs: Inputs, region: Region, work: list[Work], memory: float) -> Need:
    """With `memory` bytes in all."""
    hottest = float(zipf(mid(inputs.workload.records), mid(inputs.workload.skew)).share.max())
    most = inputs.cache.memory_bytes or SHARD_MOST_BYTES
    by_memory = Need(math.ceil(memory / most), "memory", f"{_gib(memory)} / {_gib(most)} a shard")
    need = _most([*(_for_keys(region, each, hottest) for each in work), by_memory, _least(region.zones, "one a zone")])
    return _in_zones(need, region.zones)


def nodes(inputs: Inputs, region: Region, work: list[Work]) -> Need:
    disk = inputs.storage.disk_bytes or NODE_MOST_BYTES
    stored = disk_bytes(inputs)
    by_disk = Need(math.ceil(stored / disk), "disk", f"{_gib(stored)} / {_gib(disk)} a node")
    by_copies = _least(inputs.storage.copies, "one for each copy")
    by_load = [_for_load(region, each, STORE, STORE_LOAD, servers=inputs.storage.concurrency) for each in work]
    return _in_zones(_most([*by_load, by_disk, by_copies]), min(region.zones, inputs.storage.copies))


def given(count: int | None) -> Need | None:
    return None if count is None else Need(count, "given", f"{count}, as given")


def live_bytes(inputs: Inputs) -> float:
    """On all nodes' disks of a region."""
    return data_bytes(inputs.workload) * inputs.storage.copies * STORED_PER_LIVE


def disk_bytes(inputs: Inputs) -> float:
    """That a region's nodes need together, with room for snapshots and compaction."""
    return live_bytes(inputs) * (1 + SNAPSHOT_SHARE) / DISK_FILL


def disk_of_node(inputs: Inputs, count: int) -> float:
    return inputs.storage.disk_bytes or math.ceil(disk_bytes(inputs) / count / DISK_STEP) * DISK_STEP


def _for_load(region: Region, work: Work, station: str, most: float, servers: int = 1) -> Need:
    most = COLD_LOAD if work.kind is Kind.CACHE_COLD else most
    each = f"{most}" if servers == 1 else f"({most} x {servers})"
    left = math.ceil(work.busy[station] / (most * servers) - 1e-9)
    count = _with_zones(left, region.zones, work.zones_lost)
    lost = f" left of {count}" if work.zones_lost else ""
    return Need(count, f"load, {work.kind}", f"{work.busy[station]:.2f} busy / {each} = {left}{lost} ({work.kind})")


def _for_keys(region: Region, work: Work, hottest: float) -> Need:
    """The shard of the most popular record has that, and its part of the others: (h + (1 - h) / n) busy <= most."""
    most = COLD_LOAD if work.kind is Kind.CACHE_COLD else SHARD_LOAD
    busy = work.busy[CACHE]
    room = most - hottest * busy
    if room <= 0:
        raise InputError(
            f"the most popular record gets {hottest:.1%} of the reads, more than one cache shard can serve "
            f"({busy:.2f} shards' work in all); a lower skew or rate is expected, or a near cache in the pods"
        )
    left = math.ceil((1 - hottest) * busy / room - 1e-9)
    count = _with_zones(left, region.zones, work.zones_lost)
    formula = f"(1 - {hottest:.3g}) x {busy:.3f} busy / ({most} - {hottest:.3g} x {busy:.3f}) = {left} ({work.kind})"
    return Need(count, f"load of the hottest shard, {work.kind}", formula)


def _with_zones(left: int, zones: int, lost: int) -> int:
    """The smallest number of which `left` are left when the fullest `lost` of the zones are gone."""
    return next(count for count in range(left, 4 * left + 4) if count - -(-count // zones) * lost >= left)


def _in_zones(need: Need, zones: int) -> Need:
    """As many in every zone."""
    count = -(-need.count // zones) * zones
    return (
        need
        if count == need.count
        else Need(count, need.why, f"{need.formula}, {count} to be as many in {zones} zones")
    )


def _most(needs: list[Need]) -> Need:
    return max(needs, key=lambda need: need.count)


def _least(count: int, why: str) -> Need:
    return Need(count, why, f"{count} at least: {why}")


def _gib(size: float) -> str:
    return f"{size / 2**30:,.4g} GiB"

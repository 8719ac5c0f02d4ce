"""What the regions use in a month, in the units of the bill. Traffic is of the mean, sizes are what runs all month.

Traffic inside a zone costs nothing and is left out; so is what is small beside values: digests, invalidations, repair
(hashes of ranges, and the few records that differ). Snapshots go to the object storage of their region.
"""

from dataclasses import dataclass

from kvplan.plan.bill import HOURS_A_MONTH, Quantities
from kvplan.plan.inputs import Inputs, Region, mid
from kvplan.plan.outcome import RegionSize
from kvplan.plan.prices import PriceTable
from kvplan.plan.sizing import live_bytes

GIB = 2**30
POD_VCPUS = 1.0  # one event loop, one CPU
POD_GIB = 0.5  # the process, its near cache, bodies under way
CACHE_PARTS = 1.25  # of a shard's memory, what the operator asks for: fragments and clients' buffers are beside it
HEADERS = 400.0  # bytes of a request's or an answer's headers
SNAPSHOT_COPIES = 1.0  # of what lies on every node's disk, kept outside of it: the newest snapshot


@dataclass(frozen=True)
class Traffic:
    """Bytes per second of a region, at the day's mean."""

    clients_in: float
    clients_out: float
    cross_zone: float
    inter_region: float


def quantities(inputs: Inputs, size: RegionSize, region: Region, *, hit_rate: float, prices: PriceTable) -> Quantities:
    seen = traffic(inputs, region, hit_rate)
    return Quantities(
        region.name,
        vcpu_hours=size.pods * POD_VCPUS * HOURS_A_MONTH,
        gib_hours=size.pods * POD_GIB * HOURS_A_MONTH,
        cache_gib_hours=size.cache_shards * size.cache_bytes * CACHE_PARTS / GIB * HOURS_A_MONTH,
        node_hours={node_size(inputs, prices): size.store_nodes * HOURS_A_MONTH},
        disk_gib_months=size.store_nodes * size.disk_bytes / GIB,
        snapshot_gib_months=live_bytes(inputs) * SNAPSHOT_COPIES / GIB,
        egress_gib=_a_month(seen.clients_out) if inputs.clients_on_internet else 0.0,
        cross_zone_gib=_a_month(seen.cross_zone),
        inter_region_gib=_a_month(seen.inter_region),
        load_balancer_hours=HOURS_A_MONTH,
        load_balancer_gib=_a_month(seen.clients_in + seen.clients_out),
    )


def traffic(inputs: Inputs, region: Region, hit_rate: float) -> Traffic:
    """Every value between two places of the region crosses a zone's border by chance: all but 1 / zones of them do."""
    workload = inputs.workload
    value, name = mid(workload.value_bytes) + workload.id_bytes, workload.id_bytes
    mean = mid(workload.peak_qps) * workload.mean_to_peak
    reads, writes = mean * region.share * workload.reads, mean * region.share * (1 - workload.reads)
    elsewhere = mean * (1 - workload.reads) - writes
    misses = reads * (1 - hit_rate)
    moves = (
        2 * reads  # from the cache (a miss: from the store) to the pod, from the pod to the gateway
        + misses  # from the pod into the cache
        + 4 * writes  # to the pod, what there was to the pod, to the store, to the cache
        + elsewhere  # from the relay into the cache
    )
    copied = (writes + elsewhere) * (inputs.storage.copies - 1) * (region.zones > 1)  # to other zones, all of it
    return Traffic(
        clients_in=(reads + writes) * HEADERS + writes * value + reads * name,
        clients_out=(reads + writes) * HEADERS + reads * value,
        cross_zone=value * (moves * (1 - 1 / region.zones) + copied),
        inter_region=value * writes * 2 * (len(inputs.regions) - 1),  # one copy by the store, one by the relay
    )


def node_size(inputs: Inputs, prices: PriceTable) -> str:
    """The smallest node of the table with a vCPU for each request that it works on at once; else the largest."""
    by_vcpus = sorted(prices.nodes, key=lambda name: prices.nodes[name].vcpus)
    enough = (name for name in by_vcpus if prices.nodes[name].vcpus >= inputs.storage.concurrency)
    return next(enough, by_vcpus[-1])


def _a_month(bytes_per_second: float) -> float:
    return bytes_per_second * HOURS_A_MONTH * 3600 / GIB

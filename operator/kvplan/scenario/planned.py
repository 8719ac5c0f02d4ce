"""A scenario on the regions of a plan, in place of its own."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from kvplan.laws import Floats, Law
from kvplan.plan.caching import entries_of
from kvplan.plan.inputs import Inputs, Region, mid
from kvplan.plan.outcome import Plan, RegionSize
from kvplan.plan.topology import quorum
from kvplan.scenario.file import MOST_KEYS

_RATE = 20_000.0  # requests/s to play at; beyond it a scale saves time
_GRID = (np.arange(10_000) + 0.5) / 10_000


def on(plan: Plan, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The scenario's fields with workload, regions, times and balancing of the plan's first month. An event in a region
    that the plan has not is one in its largest region."""
    inputs = plan.inputs
    sizes = {size.region: size for size in plan.months[0].sizes}
    largest = max(inputs.regions, key=lambda each: each.share).name
    regions = [_region(inputs, region, sizes[region.name]) for region in inputs.regions]
    made = dict(fields) | {
        "workload": {
            "peakQps": mid(inputs.workload.peak_qps),
            "reads": inputs.workload.reads,
            "records": round(mid(inputs.workload.records)),
            "skew": mid(inputs.workload.skew),
        },
        "client": {**fields.get("client", {}), "network": _network(inputs)},
        "regions": regions,
        "cacheTtl": inputs.cache.ttl,
        "times": _times(inputs),
        "balancing": inputs.balancing,
        "events": [
            event | {"region": largest} if event.get("region") and event["region"] not in sizes else event
            for event in fields.get("events", ())
        ],
    }
    return {"scale": _scale(inputs, regions)} | made


def _network(inputs: Inputs) -> dict[str, Any]:
    """To the edge and through the gateway, which is never the bottleneck."""
    way, gateway = inputs.service.client_network, inputs.service.gateway
    return {"mean": mid(way.mean) + mid(gateway.mean), "cv": way.cv}


def _region(inputs: Inputs, region: Region, size: RegionSize) -> dict[str, Any]:
    return {
        "name": region.name,
        "share": region.share,
        "pods": size.pods,
        "cacheEntries": round(entries_of(size.cache_bytes, inputs.workload) * size.cache_shards),
        "cacheShards": size.cache_shards,
        "storeServers": _servers(inputs, region, size),
    }


def _servers(inputs: Inputs, region: Region, size: RegionSize) -> int:
    """As many as make the load of reads what it is on nodes that each work on `concurrency` at once, a quorum of them
    on each read; less what the writes of other regions keep busy."""
    work = mid(inputs.service.store_read.mean)
    reads = size.store_nodes * inputs.storage.concurrency / quorum(inputs) * _store_read(inputs).mean() / work
    elsewhere = mid(inputs.workload.peak_qps) * (1 - region.share) * (1 - inputs.workload.reads)
    return max(1, int(reads - elsewhere * _store_write(inputs).mean()))


def _times(inputs: Inputs) -> dict[str, Any]:
    service = inputs.service
    return {
        "podRead": service.pod_read.model_dump(by_alias=True),
        "podMiss": service.pod_miss.model_dump(by_alias=True),
        "podWrite": service.pod_write.model_dump(by_alias=True),
        "cache": service.cache.model_dump(by_alias=True),
        "cacheHop": mid(service.cross_zone_hop.mean),
        "storeRead": _time(_store_read(inputs)),
        "storeWrite": _time(_store_read(inputs) + _store_write(inputs)),  # what there is, then what is new
    }


def _store_read(inputs: Inputs) -> Floats:
    return _answered(inputs, inputs.service.store_read.law(), sent=quorum(inputs))


def _store_write(inputs: Inputs) -> Floats:
    return _answered(inputs, inputs.service.store_write.law(), sent=inputs.storage.copies)


def _answered(inputs: Inputs, law: Law, sent: int) -> Floats:
    """The time until a quorum of the copies has answered, hop included: order statistics on a grid of shares."""
    needed = quorum(inputs)
    shares = stats.beta.ppf(_GRID, needed, sent - needed + 1)
    return law.quantile(shares) + mid(inputs.service.cross_zone_hop.mean)


def _time(times: Floats) -> dict[str, Any]:
    return {"mean": float(times.mean()), "cv": float(max(times.std() / times.mean(), 0.01))}


def _scale(inputs: Inputs, regions: list[dict[str, Any]]) -> int:
    """The smallest that is played in reasonable time and memory, as far as there are pods and servers for it."""
    wanted = max(mid(inputs.workload.peak_qps) / _RATE, mid(inputs.workload.records) * len(regions) / MOST_KEYS, 1.0)
    most = min(min(each["pods"], each["storeServers"]) for each in regions)
    return min(math.ceil(wanted), int(most))

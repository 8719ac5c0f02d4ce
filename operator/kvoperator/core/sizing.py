"""KVCluster.spec -> what the planner (`kvplan`) is asked, and what `replicas: auto` comes to.

kvplan is imported where it is used: it brings numpy and scipy, which a cluster without a workload shall not pay for.
"""

from typing import TYPE_CHECKING, Any

from kvoperator.api.spec import AUTO, KVClusterSpec, Storage, Workload
from kvoperator.api.units import byte_count, seconds

if TYPE_CHECKING:
    from kvplan.plan.inputs import Inputs


def inputs(spec: KVClusterSpec) -> "Inputs":
    """What the planner is asked. Raises kvplan's InputError if the spec does not say what clients do."""
    from kvplan.errors import InputError
    from kvplan.plan.inputs import Inputs

    if spec.workload is None:
        raise InputError("there is no spec.workload; say what clients do: peakQPS at least")
    return Inputs.model_validate(
        {
            "workload": _workload(spec.workload),
            "regions": _regions(spec),
            "objectives": {float(percentile): seconds(limit) for percentile, limit in spec.slo.latency.items()},
            "availability": spec.slo.availability,
            "cache": {
                "shards": spec.cache.shards,
                "memory_bytes": byte_count(spec.cache.memory),
                "ttl": seconds(spec.cache.ttl),
            },
            "storage": _storage(spec.storage),
            "service": {
                name: {"mean": time.mean_ms / 1000, "cv": time.cv} for name, time in spec.workload.service.items()
            },
        }
    )


def _workload(workload: Workload) -> dict[str, Any]:
    same = {"peak_qps", "mean_to_peak", "reads", "value_bytes", "records", "skew"}
    data, requests = workload.growth_per_month, workload.qps_growth_per_month
    growth = {"data_growth_per_month": data, "qps_growth_per_month": data if requests is None else requests}
    return workload.model_dump(include=same) | growth


def _regions(spec: KVClusterSpec) -> list[dict[str, Any]]:
    return [
        {
            "name": region.name,
            "share": region.share or 1 / len(spec.regions),
            "zones": len(region.zones),
            "pods": None if region.replicas == AUTO else region.replicas,
        }
        for region in spec.regions
    ]


def _storage(storage: Storage) -> dict[str, Any]:
    """Nodes of others are not known: the planner chooses. The embedded store is one that all pods share."""
    if cassandra := storage.cassandra:
        return {
            "nodes": cassandra.nodes_per_region,
            "copies": cassandra.replication_factor,
            "disk_bytes": byte_count(cassandra.size),
        }
    if external := storage.external:
        return {"copies": external.replication_factor}
    embedded = {"disk_bytes": byte_count(storage.embedded.size)} if storage.embedded else {}
    return {"nodes": 1, "copies": 1, **embedded}

"""KVCluster.spec -> what the planner (`kvplan`) is asked and answers: pods for `replicas: auto`, and a p95 at a load.

An answer is remembered: the planner thinks once about a question, but so long that it is to be asked in a thread.
kvplan is imported where it is used: an operator without workloads shall not pay for numpy and scipy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kvoperator.api.spec import AUTO, Cache, KVClusterSpec, Region, Storage, Strict, Workload
from kvoperator.api.status import KVClusterStatus
from kvoperator.api.units import byte_count, seconds

if TYPE_CHECKING:
    from kvplan.plan.inputs import Inputs
    from kvplan.plan.inputs import Region as PlannedRegion
    from kvplan.plan.search import Choice

_REMEMBERED = 4096  # answers: a few of each of a thousand KVClusters


@dataclass(frozen=True)
class Size:
    """What the planner says of a region whose replicas are `auto`: how many pods, and `why`. `pods` None: no answer.

    `holds`: the objectives hold with that many, within the bounds that the spec sets.
    """

    pods: int | None
    holds: bool
    why: str


def sizes(spec: KVClusterSpec) -> dict[str, Size]:
    """Of each region whose replicas are auto. Raises nothing: a planner at a loss says why."""
    wanted = [region for region in spec.regions if region.replicas == AUTO]
    asked = inputs(spec).model_dump_json() if wanted else ""
    return {region.name: _size(asked, region) for region in wanted}


def _size(asked: str, region: Region) -> Size:
    choice = _choice(asked, region.name)
    if isinstance(choice, str):
        return Size(None, False, choice)
    pods, why = choice.size.pods, choice.needs["pods"].why
    if pods > region.max_replicas:
        return Size(pods, False, f"{pods} pods are needed ({why}), and maxReplicas is {region.max_replicas}")
    if not choice.holds:
        return Size(pods, False, f"no number of pods holds slo.latency; {pods} carry the load ({why})")
    return Size(pods, True, f"{pods} pods ({why})")


def expected_p95(spec: KVClusterSpec, region: str, pods: int, qps: float) -> float | str:
    """Seconds, as the clocks of so many pods see it at that rate; or why the planner does not say."""
    return _p95(inputs(spec).model_dump_json(), region, pods, qps)


@lru_cache(maxsize=_REMEMBERED)
def _choice(asked: str, region: str) -> "Choice | str":
    """The smallest number of pods, and what asks for it. The cache is given, so no price decides anything here."""
    from kvplan.plan.inputs import Inputs
    from kvplan.plan.prices import load_prices
    from kvplan.plan.search import smallest

    given = Inputs.model_validate_json(asked)
    prices = load_prices(given.prices)
    try:
        return smallest(given, _named(given, region), prices, prices.date)
    except Exception as error:
        return _why(error)


@lru_cache(maxsize=_REMEMBERED)
def _p95(asked: str, region: str, pods: int, qps: float) -> float | str:
    """The other regions are taken to be as busy, in proportion: their writes reach this one's store, too."""
    from kvplan.model import COARSE, predict
    from kvplan.plan.inputs import Inputs
    from kvplan.plan.states import Kind, Situation, hits
    from kvplan.plan.topology import system

    choice = _choice(asked, region)
    if isinstance(choice, str):
        return choice
    given = Inputs.model_validate_json(asked)
    wanted = _named(given, region)
    load = given.workload.model_copy(update={"peak_qps": qps / wanted.share})
    now, size = given.model_copy(update={"workload": load}), replace(choice.size, pods=pods)
    try:
        hit_rate = hits(now, size, Situation(Kind.NORMAL, wanted, wanted.share))
        seen = system(now, size, region=wanted, rate=qps, hit_rate=hit_rate, inside_pod=True)
        prediction = predict(seen, percentiles=[95], resolution=COARSE)
    except Exception as error:
        return _why(error)
    return prediction.beyond or prediction.latency.quantiles[95]


def _why(error: Exception) -> str:
    """kvplan's own errors are sentences. Whatever else goes wrong in it must not stop a pass either."""
    from kvplan.errors import KvplanError

    return str(error) if isinstance(error, KvplanError) else f"the planner failed: {error!r}"


def _named(given: "Inputs", name: str) -> "PlannedRegion":
    return next(region for region in given.regions if region.name == name)


def settled(spec: KVClusterSpec, planned: Mapping[str, Size], known: KVClusterStatus) -> KVClusterSpec:
    """The spec with a number in place of every `auto`; whoever comes after reads numbers only.

    Without an answer a region keeps the pods it has. While a canary is under way no region gets fewer: its stable
    pods would be busier than the canary's that they are compared with.
    """
    had = {region.name: region.replicas for region in known.regions}
    is_rolling_out = known.rollout.canary is not None

    def number(region: Region) -> int:
        before, pods = had.get(region.name) or region.min_replicas, planned[region.name].pods
        wanted = before if pods is None else max(pods, before) if is_rolling_out else pods
        return min(max(wanted, region.min_replicas), region.max_replicas)

    regions = [
        region if region.replicas != AUTO else region.model_copy(update={"replicas": number(region)})
        for region in spec.regions
    ]
    return spec.model_copy(update={"regions": regions})


def inputs(spec: KVClusterSpec, *, is_draft: bool = False) -> "Inputs":
    """What the planner is asked. Raises kvplan's InputError if the spec does not say what clients do.

    `is_draft`: sizes that nobody wrote are the planner's to choose; else they are their defaults.
    """
    from kvplan.errors import InputError
    from kvplan.plan.inputs import Inputs

    if spec.workload is None:
        raise InputError("there is no spec.workload; say what clients do: peakQPS at least")
    return Inputs.model_validate(
        {
            "workload": _workload(spec.workload),
            "regions": _regions(spec, is_draft=is_draft),
            "objectives": {float(percentile): seconds(limit) for percentile, limit in spec.slo.latency.items()},
            "availability": spec.slo.availability,
            "cache": {"ttl": seconds(spec.cache.ttl), **_cache(spec.cache, is_draft=is_draft)},
            "storage": _storage(spec.storage, is_draft=is_draft),
            "service": {
                name: {"mean": time.mean_ms / 1000, "cv": time.cv} for name, time in spec.workload.service.items()
            },
        }
    )


def _workload(workload: Workload) -> dict[str, Any]:
    same = {"peak_qps", "mean_to_peak", "reads", "value_bytes", "skew"}
    data, requests = workload.growth_per_month, workload.qps_growth_per_month
    growth = {"data_growth_per_month": data, "qps_growth_per_month": data if requests is None else requests}
    return workload.model_dump(include=same) | growth | {"records": byte_count(str(workload.records))}


def _regions(spec: KVClusterSpec, *, is_draft: bool) -> list[dict[str, Any]]:
    """Their shares are given with a few digits, and may sum to 0.999."""
    total = sum(region.share or 1 for region in spec.regions)
    return [
        {
            "name": region.name,
            "share": (region.share or 1) / total,
            "zones": len(region.zones),
            "pods": None if region.replicas == AUTO or _is_open(region, "replicas", is_draft) else region.replicas,
        }
        for region in spec.regions
    ]


def _cache(cache: Cache, *, is_draft: bool) -> dict[str, Any]:
    sizes = {"shards": ("shards", cache.shards), "memory": ("memory_bytes", byte_count(cache.memory))}
    return _given(cache, sizes, is_draft)


def _storage(storage: Storage, *, is_draft: bool) -> dict[str, Any]:
    """Nodes of others are not known: the planner chooses. The embedded store is one that all pods share."""
    if cassandra := storage.cassandra:
        sizes = {
            "nodes_per_region": ("nodes", cassandra.nodes_per_region),
            "size": ("disk_bytes", byte_count(cassandra.size)),
        }
        return {"copies": cassandra.replication_factor, **_given(cassandra, sizes, is_draft)}
    if external := storage.external:
        return {"copies": external.replication_factor}
    embedded = {"disk_bytes": byte_count(storage.embedded.size)} if storage.embedded else {}
    return {"nodes": 1, "copies": 1, **embedded}


def _given(written: Strict, sizes: Mapping[str, tuple[str, int]], is_draft: bool) -> dict[str, int]:
    """`sizes`: field -> the planner's name for it, and its value. Those that are not for the planner to choose."""
    return {name: size for field, (name, size) in sizes.items() if not _is_open(written, field, is_draft)}


def _is_open(written: Strict, field: str, is_draft: bool) -> bool:
    return is_draft and field not in written.model_fields_set

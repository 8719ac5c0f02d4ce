"""The numbers of the first month by name, each with its formula and with what it is in other worlds."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from kvplan.plan import sizing
from kvplan.plan.autoscaling import headroom
from kvplan.plan.bill import HOURS_A_MONTH
from kvplan.plan.caching import ENTRY_OVERHEAD, entries_of, entry_bytes
from kvplan.plan.growth import ROW_OVERHEAD, data_bytes
from kvplan.plan.inputs import Inputs, Region, mid
from kvplan.plan.outcome import Bill, Number, RegionSize, State
from kvplan.plan.outlook import PERCENTILES, Latencies
from kvplan.plan.quantities import GIB, Traffic, traffic
from kvplan.plan.search import Choice
from kvplan.plan.sizing import Need
from kvplan.plan.states import Kind, Situation, hits, situations, system_in
from kvplan.plan.topology import CACHE, POD, STORE
from kvplan.plan.worlds import spread

Named = Iterator[tuple[str, Number]]


@dataclass(frozen=True)
class First:
    """The first month, as it is planned. `bills` are those of the worlds."""

    inputs: Inputs
    worlds: Sequence[Inputs]
    choices: Mapping[str, Choice]  # by region
    states: Sequence[State]
    latencies: Sequence[Latencies]  # in each world
    bill: Bill
    bills: Sequence[Bill]

    def number(self, of: Callable[[Inputs], float], unit: str, formula: str) -> Number:
        return spread(of(self.inputs), [of(world) for world in self.worlds], unit, formula)

    def loads(self, world: Inputs, region: Region) -> Mapping[str, float]:
        """Of each station, with nothing lost."""
        size, situation = self.choices[region.name].size, situations(world, region)[Kind.NORMAL]
        return system_in(world, size, situation, hits(world, size, situation)).loads()

    @cached_property
    def loads_among(self) -> Mapping[str, Sequence[Mapping[str, float]]]:
        """By region, in each world."""
        return {region.name: [self.loads(world, region) for world in self.worlds] for region in self.inputs.regions}


def numbers(first: First) -> dict[str, Number]:
    found = dict(_workload(first))
    for region in first.inputs.regions:
        parts = (_load, _sizes, _latencies, _traffic)
        found |= {f"regions.{region.name}.{name}": each for part in parts for name, each in part(first, region)}
    return found | dict(_costs(first)) | dict(_limits(first))


def limits(first: First) -> list[tuple[float, str, str]]:
    """Requests/s world-wide at which a station is fully busy, station and region where it is so first; the lowest is
    the bottleneck. The gateway is none: it grows."""
    peak = mid(first.inputs.workload.peak_qps)
    found: dict[str, tuple[float, str, str]] = {}
    for region in first.inputs.regions:
        for station, load in first.loads(first.inputs, region).items():
            if station in (POD, CACHE, STORE):
                found[station] = min(found.get(station, (math.inf, "", "")), (peak / load, station, region.name))
    return sorted(found.values())


def _workload(first: First) -> Named:
    workload = first.inputs.workload
    peak, value, name = mid(workload.peak_qps), mid(workload.value_bytes), workload.id_bytes

    def part(factor: float, formula: str) -> Number:
        return first.number(lambda world: mid(world.workload.peak_qps) * factor, "requests/s", f"{peak:g} {formula}")

    yield "workload.peak-qps", part(1, "requests/s, as given")
    yield "workload.mean-qps", part(workload.mean_to_peak, f"requests/s x {workload.mean_to_peak:g}")
    yield "workload.reads-qps", part(workload.reads, f"requests/s x {workload.reads:g}, at peak")
    yield "workload.writes-qps", part(1 - workload.reads, f"requests/s x (1 - {workload.reads:g}), at peak")
    formula = f"{mid(workload.records):g} records x ({value:g} + {name:g} of id + {ROW_OVERHEAD:g} of row), one copy"
    yield "data.bytes", first.number(lambda world: data_bytes(world.workload), "bytes", formula)
    formula = f"{value:g} + {name:g} of id + {ENTRY_OVERHEAD:g} of server, envelope and name"
    yield "cache.entry-bytes", first.number(lambda world: entry_bytes(world.workload), "bytes", formula)


def _load(first: First, region: Region) -> Named:
    inputs, size = first.inputs, first.choices[region.name].size
    peak = mid(inputs.workload.peak_qps)
    entries = entries_of(size.cache_shards * size.cache_bytes, inputs.workload)
    cache = (
        f"Che: {entries:.4g} entries in {size.cache_shards} x {size.cache_bytes / GIB:.3g} GiB, of "
        f"{mid(inputs.workload.records):g} records, Zipf {mid(inputs.workload.skew):g}, fresh {inputs.cache.ttl:g} s"
    )
    for kind, situation in situations(inputs, region).items():
        of = "" if kind is Kind.NORMAL else f".{kind.replace(' ', '-')}"
        rate, share = situation.rate, situation.share
        yield f"rate{of}", first.number(rate, "requests/s", f"{peak:g} requests/s x {share:.4g} ({kind})")
        hit = first.number(partial(_hits, size, situation), "of reads", f"{cache} ({kind})")
        yield f"hit-rate{of}", hit


def _hits(size: RegionSize, situation: Situation, world: Inputs) -> float:
    return hits(world, size, situation)


def _sizes(first: First, region: Region) -> Named:
    inputs, choice = first.inputs, first.choices[region.name]
    size, needs = choice.size, choice.needs
    loads, among = first.loads(inputs, region), first.loads_among[region.name]

    def as_busy(need: Need, station: str, unit: str) -> Number:
        """Low and high are what would be as busy in other worlds."""
        counts = [math.ceil(need.count * world[station] / loads[station]) for world in among]
        return spread(need.count, counts, unit, f"{need.formula}; {need.why}")

    def chosen(value: float, unit: str, formula: str) -> Number:
        return Number(value, unit, value, value, formula)

    yield "pods", as_busy(needs["pods"], POD, "pods")
    yield "autoscaling.pods", headroom(needs["pods"].count, inputs.autoscaling)
    yield "cache.shards", chosen(size.cache_shards, "shards", f"{needs['shards'].formula}; {needs['shards'].why}")
    yield "cache.memory", chosen(size.cache_bytes, "bytes a shard", "as given, or what makes the region cheapest")
    nodes = needs["nodes"]
    yield (
        "store.nodes",
        (
            as_busy(nodes, STORE, "nodes")
            if nodes.why.startswith("load")
            else chosen(nodes.count, "nodes", nodes.formula)
        ),
    )
    formula = (
        f"{data_bytes(inputs.workload) / GIB:.4g} GiB x {inputs.storage.copies} copies x {sizing.STORED_PER_LIVE:g} x "
        f"(1 + {sizing.SNAPSHOT_SHARE:g} of snapshots) / {sizing.DISK_FILL:g} full / {nodes.count} nodes"
    )
    yield "store.disk", first.number(lambda world: sizing.disk_of_node(world, nodes.count), "bytes a node", formula)


def _latencies(first: First, region: Region) -> Named:
    normal = next(each for each in first.states if (each.name, each.region) == (Kind.NORMAL, region.name))
    for percentile in PERCENTILES:
        value = normal.prediction.latency.quantiles[percentile] if normal.prediction else math.inf
        values = [seconds[region.name, percentile] for seconds in first.latencies]
        formula = f"of hits, misses and writes at {normal.rate:g} requests/s, {normal.hit_rate:.1%} of the reads hits"
        yield f"p{percentile:g}", spread(value, values, "s", formula)


def _traffic(first: First, region: Region) -> Named:
    size, normal = first.choices[region.name].size, situations(first.inputs, region)[Kind.NORMAL]
    hit = hits(first.inputs, size, normal)

    def a_month(of: Callable[[Traffic], float], what: str) -> Number:
        formula = f"{of(traffic(first.inputs, region, hit)):.4g} bytes/s x {HOURS_A_MONTH:g} h x 3600 s; {what}"
        return first.number(
            lambda world: of(traffic(world, region, hit)) * HOURS_A_MONTH * 3600 / GIB, "GiB a month", formula
        )

    yield "egress", a_month(lambda seen: seen.clients_out, "values of reads, and headers, to clients")
    yield (
        "cross-zone",
        a_month(lambda seen: seen.cross_zone, "values between gateway, pod, cache, store; copies"),
    )
    yield "inter-region", a_month(lambda seen: seen.inter_region, "written values, by store and relay, to each region")


def _costs(first: First) -> Named:
    bill, unit = first.bill, f"{first.bill.currency} a month"
    yield "cost.total", spread(bill.total, [each.total for each in first.bills], unit, " + ".join(_kinds(bill)))
    for kind in _kinds(bill):
        lines = [line for line in bill.lines if line.kind == kind]
        formula = " + ".join(f"{line.quantity:.6g} {line.unit} x {line.unit_price:g}" for line in lines)
        yield f"cost.{kind}", spread(_cost(bill, kind), [_cost(each, kind) for each in first.bills], unit, formula)


def _limits(first: First) -> Named:
    for qps, station, region in limits(first):
        peaks = [mid(world.workload.peak_qps) for world in first.worlds]
        values = [peak / loads[station] for peak, loads in zip(peaks, first.loads_among[region], strict=True)]
        peak = mid(first.inputs.workload.peak_qps)
        formula = f"{peak:g} requests/s / {peak / qps:.3f}, the load of the {station} in {region}"
        yield f"limits.{station}", spread(qps, values, "requests/s world-wide", formula)


def _kinds(bill: Bill) -> list[str]:
    return list(dict.fromkeys(line.kind for line in bill.lines))


def _cost(bill: Bill, kind: str) -> float:
    return sum(line.cost for line in bill.lines if line.kind == kind)

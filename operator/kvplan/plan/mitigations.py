"""What each mitigation would buy on this very workload: the plan's sizes of the first month, one thing changed, and p95
predicted again, at peak with nothing lost, in the region where it is worst.

What a mitigation is taken to change is said at its function. `risk` says first why it is useless here, if it is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np

from kvplan.errors import UnstableError
from kvplan.model import COARSE, Prediction, predict
from kvplan.plan.bill import HOURS_A_MONTH, bill
from kvplan.plan.caching import entry_bytes, hit_rate, zipf
from kvplan.plan.growth import ROW_OVERHEAD, data_bytes
from kvplan.plan.inputs import Inputs, Region, mid
from kvplan.plan.outcome import Mitigation, Plan, RegionSize
from kvplan.plan.outlook import latencies
from kvplan.plan.prices import PriceTable, load_prices
from kvplan.plan.quantities import GIB, quantities
from kvplan.plan.states import Kind, Situation, hits, situations, system_in
from kvplan.plan.topology import CACHE, POD, STORE
from kvplan.system import Balancing, Class, Step, System, Visit

USELESS = 0.01  # of p95: who gains less gains nothing
MORE_PODS = 1.25
HEDGED = 0.1  # of the requests: those slower than nine in ten
SURGE = 2.0  # times the peak
FULL = 0.95  # load that admission leaves
NEAR_BYTES = 64 * 2**20  # in each pod
NEAR_TTL = 1.0  # s
GET_OF_POD = 100e-6  # s of a pod's CPU for one GET, of the kind that redis-py sends
PER_COMMAND = 0.9
"""Of what a GET costs pod and shard, what it costs however many keys it has. `bench/planner.py` measures both."""


def mitigations(plan: Plan, *, today: date | None = None) -> tuple[Mitigation, ...]:
    """None for a plan that is unstable in its first month with nothing lost. `today` as for `make_plan`."""
    inputs, sizes = plan.inputs, {size.region: size for size in plan.months[0].sizes}
    seconds = latencies(inputs, sizes)
    slowest = max(inputs.regions, key=lambda region: seconds[region.name, 95.0])
    if math.isinf(seconds[slowest.name, 95.0]):
        return ()
    case = _Case(inputs, sizes, slowest, load_prices(inputs.prices), today or date.today())
    tried = (
        batching,
        near_cache,
        hedging,
        coalescing,
        admission,
        more_pods,
        other_balancing,
        secondary_index,
        asynchronous_writes,
    )
    return tuple(each(case) for each in tried)


@dataclass(frozen=True)
class _Case:
    """`region` is where p95 is worst."""

    inputs: Inputs
    sizes: Mapping[str, RegionSize]
    region: Region
    prices: PriceTable
    today: date

    @property
    def size(self) -> RegionSize:
        return self.sizes[self.region.name]

    @property
    def situation(self) -> Situation:
        return situations(self.inputs, self.region)[Kind.NORMAL]

    @property
    def rate(self) -> float:
        return self.situation.rate(self.inputs)

    @cached_property
    def hit(self) -> float:
        return hits(self.inputs, self.size, self.situation)

    @cached_property
    def path(self) -> System:
        return self.path_of(self.inputs, self.size)

    @cached_property
    def before(self) -> Prediction:
        return predict(self.path, resolution=COARSE)

    @cached_property
    def cost(self) -> float:
        return self.cost_of(self.sizes)

    @property
    def bottleneck(self) -> str:
        loads = self.path.loads()
        return max((POD, CACHE, STORE), key=lambda station: loads[station])

    @property
    def slowest(self) -> str:
        """Where requests are longest, in words."""
        spent: dict[str, float] = {}
        for each in self.before.classes:
            for part in each.parts:
                name = part.name.partition(" (")[0]
                spent[name] = spent.get(name, 0.0) + each.share * part.mean
        name = max(spent, key=lambda each: spent[each])
        return (
            f"most of the time goes to the {name}, {spent[name] * 1e3:.3g} of {self.before.latency.mean * 1e3:.3g} ms"
        )

    def path_of(self, inputs: Inputs, size: RegionSize) -> System:
        return system_in(inputs, size, self.situation, self.hit)

    def p95(self, path: System) -> float:
        """Infinite if unstable."""
        try:
            return predict(path, percentiles=[95], resolution=COARSE).latency.quantiles[95]
        except UnstableError:
            return math.inf

    def cost_of(self, sizes: Mapping[str, RegionSize]) -> float:
        used = [
            quantities(self.inputs, sizes[each.name], each, hit_rate=self.hit, prices=self.prices)
            for each in self.inputs.regions
        ]
        return bill(used, self.prices, self.today).total

    def steps(self, name: str) -> tuple[Step, ...]:
        return next((each.steps for each in self.path.classes if each.name == name), ())

    def result(
        self, name: str, change: str, *, p95: float, risk: str, useless: str = "", cost: float | None = None
    ) -> Mitigation:
        """`useless`: why, if it gains nothing."""
        before = self.before.latency.quantiles[95]
        why = f"useless here: {useless or self.slowest}; " if p95 > before * (1 - USELESS) else ""
        return Mitigation(name, change, before, p95, self.cost, self.cost if cost is None else cost, why + risk)


def batching(case: _Case) -> Mitigation:
    """Reads that are ready in a pod at once travel as one MGET: they are those that wait for the pod, and the one that
    is served. What a command costs is then shared by them, at the shard and in the pod."""
    pod = next(each for each in case.before.stations if each.name == POD)
    joined = 1 + case.rate * case.inputs.workload.reads / case.size.pods * pod.wait
    saved = PER_COMMAND * (1 - 1 / joined)

    def batched(each: Class) -> Class:
        work = sum(step.law.mean for step in each.steps if isinstance(step, Visit) and step.station == POD)
        less = {POD: 1 - min(GET_OF_POD * saved / work, 0.5) if work else 1.0, CACHE: 1 - saved}
        return replace(each, steps=tuple(_scaled(step, less) for step in each.steps)) if each.name == "hit" else each

    return case.result(
        "batching",
        f"reads that are ready at once ({joined:.2f} on average) travel to the cache as one command",
        p95=case.p95(replace(case.path, classes=tuple(batched(each) for each in case.path.classes))),
        useless=f"{joined:.2f} reads are ready at once, and the {case.bottleneck} is the bottleneck",
        risk="a slow shard holds up all reads of a batch",
    )


def near_cache(case: _Case) -> Mitigation:
    """Hits in the pod's own memory end after the first of a hit's visits to the pod. The pod is a cache of its own with
    its part of the reads."""
    workload = case.inputs.workload
    popularity = zipf(mid(workload.records), mid(workload.skew))
    entries, reads = NEAR_BYTES / entry_bytes(workload), case.rate * workload.reads / case.size.pods
    near = min(hit_rate(popularity, entries=entries, rate=reads, ttl=NEAR_TTL), case.hit)
    moved = near / case.hit if case.hit else 0.0
    classes = []
    for each in case.path.classes:
        if each.name == "hit" and moved:
            classes.append(replace(each, name="near", share=each.share * moved, steps=_up_to_first(POD, each.steps)))
            classes.append(replace(each, share=each.share * (1 - moved)))
        else:
            classes.append(each)
    memory = sum(
        size.pods * NEAR_BYTES / GIB * HOURS_A_MONTH * case.prices.of(name).gib_hour
        for name, size in case.sizes.items()
    )
    return case.result(
        "near cache",
        f"{NEAR_BYTES >> 20} MiB in each pod keep hot records for {NEAR_TTL:g} s; {near:.1%} of the reads end there",
        p95=case.p95(replace(case.path, classes=tuple(classes))),
        cost=case.cost + memory,
        risk=f"a read may be {NEAR_TTL:g} s older than the region's cache, unless sessions are checked there, too",
    )


def hedging(case: _Case) -> Mitigation:
    """The client sends a second request, to another pod, once the first took longer than nine in ten do; the first
    answer counts. With F the law of one at the load of both, 1 - (1 - F(t)) (1 - F(t - d)) is that of the pair."""
    delay = predict(case.path, percentiles=[100 * (1 - HEDGED)], resolution=COARSE).latency.quantiles[
        100 * (1 - HEDGED)
    ]
    each_delay = 64
    times = np.arange(1, 6 * each_delay) * delay / each_delay
    try:
        both = predict(case.path.at(case.path.rate * (1 + HEDGED)), thresholds=times.tolist(), resolution=COARSE)
        within = np.array([both.latency.within[time] for time in times.tolist()])
        later = np.concatenate([np.zeros(each_delay), within[:-each_delay]])
        p95 = float(np.interp(0.95, 1 - (1 - within) * (1 - later), times))
    except UnstableError:
        p95 = math.inf
    return case.result(
        "hedging",
        f"clients ask a second time after {delay * 1e3:.3g} ms, which nine in ten requests need",
        p95=p95,
        useless=f"the {case.bottleneck} is the bottleneck, and {HEDGED:.0%} more requests take from it what they save",
        risk=f"{HEDGED:.0%} more load on every station, more yet when the service is slow: it needs a budget",
    )


def coalescing(case: _Case) -> Mitigation:
    """The service has it, and the plan counts on it while the cache is cold; with a warm cache hardly two requests want
    one missing record at a time, so that p95 is the same without it."""
    cold = situations(case.inputs, case.region)[Kind.CACHE_COLD]

    def asked(hit: float) -> float:
        return system_in(case.inputs, case.size, cold, hit).loads()[STORE]

    alone, together = asked(0.0), asked(hits(case.inputs, case.size, cold))
    return case.result(
        "coalescing",
        "requests for one missing record share one read of the store (the service does so already)",
        p95=case.before.latency.quantiles[95],
        useless="with a warm cache nearly no two requests miss one record at a time",
        risk=f"none known; without it an empty cache asks for {alone:.2f} of what the store can do, not {together:.2f}",
    )


def admission(case: _Case) -> Mitigation:
    """What the busiest station cannot do is refused before it costs anything, up to a load of 95 %. It changes nothing
    within the plan, where nothing is too much."""
    load = SURGE * max(case.path.loads().values())
    refused = max(1 - FULL / load, 0.0)
    surged = case.p95(case.path.at(case.path.rate * SURGE * (1 - refused)))
    without = ", where the queue would have no end" if load >= 1 else ""
    return case.result(
        "admission",
        f"at {SURGE:g} times the peak{without}, {refused:.0%} are refused; p95 of the rest is {surged * 1e3:.3g} ms",
        p95=case.before.latency.quantiles[95],
        useless="within the planned load nothing is refused",
        risk="refused requests; with a bound that is too low also when there is room",
    )


def more_pods(case: _Case) -> Mitigation:
    """A quarter more in every region."""
    sizes = {name: replace(size, pods=math.ceil(size.pods * MORE_PODS)) for name, size in case.sizes.items()}
    size = sizes[case.region.name]
    return case.result(
        "more pods",
        f"{size.pods} pods instead of {case.size.pods} in {case.region.name}, and so in every region",
        p95=case.p95(case.path_of(case.inputs, size)),
        cost=case.cost_of(sizes),
        risk="more connections to cache and store",
    )


def other_balancing(case: _Case) -> Mitigation:
    """The best of the other rules."""
    found = {
        rule: case.p95(case.path_of(case.inputs.model_copy(update={"balancing": rule}), case.size))
        for rule in Balancing
        if rule is not case.inputs.balancing
    }
    best = min(found, key=lambda rule: found[rule])
    return case.result(
        "other balancing",
        f"the gateway chooses pods by {best} instead of {case.inputs.balancing}",
        p95=found[best],
        useless=f"{case.inputs.balancing} is as good",
        risk="a gateway that counts requests in flight sees its own only; several gateways see less",
    )


def secondary_index(case: _Case) -> Mitigation:
    """Every write also writes an entry of the index, one after the other; an entry has two ids and a row."""
    entry = 2 * case.inputs.workload.id_bytes + ROW_OVERHEAD
    more = 1 + mid(case.inputs.workload.records) * entry / data_bytes(case.inputs.workload)
    sizes = {name: replace(size, disk_bytes=size.disk_bytes * more) for name, size in case.sizes.items()}

    def indexed(each: Class) -> Class:
        if each.name == "write":
            at = _last(STORE, each.steps)
            return replace(each, steps=(*each.steps[: at + 2], *each.steps[at - 1 : at + 2], *each.steps[at + 2 :]))
        return each if each.counted else replace(each, steps=(each.steps[0], *each.steps))

    return case.result(
        "secondary index",
        f"each write keeps an index of {entry:g} bytes a record, so that records are found by something else than id",
        p95=case.p95(replace(case.path, classes=tuple(indexed(each) for each in case.path.classes))),
        cost=case.cost_of(sizes),
        useless="all reads of this workload are by id",
        risk="record and index entry may disagree for a moment, and after a failed write until it is repeated",
    )


def asynchronous_writes(case: _Case) -> Mitigation:
    """A write is answered once the cache has it; the store's write goes on by itself."""
    steps = case.steps("write")
    if not steps:
        return case.result("async writes", "nothing is written", p95=case.before.latency.quantiles[95], risk="none")
    at = _last(STORE, steps)

    def quick(each: Class) -> Class:
        return replace(each, steps=(*steps[: at - 1], *steps[at + 1 :])) if each.name == "write" else each

    share = next(each.share for each in case.path.classes if each.name == "write")
    later = Class("stored later", share, steps[at : at + 1], counted=False)
    classes = [replace(each, share=each.share / (1 + share)) for each in (*map(quick, case.path.classes), later)]
    return case.result(
        "async writes",
        "a write is answered once the cache has it, before the store has",
        p95=case.p95(replace(case.path, rate=case.path.rate * (1 + share), classes=tuple(classes))),
        useless=f"{1 - case.inputs.workload.reads:.1%} of the requests are writes; {case.slowest}",
        risk="what a pod has acknowledged is lost with it: no acknowledged write is safe any more",
    )


def _scaled(step: Step, factors: Mapping[str, float]) -> Step:
    if isinstance(step, Visit) and step.station in factors:
        return replace(step, law=step.law.scaled(factors[step.station]))
    return step


def _up_to_first(station: str, steps: Sequence[Step]) -> tuple[Step, ...]:
    at = next(at for at, step in enumerate(steps) if isinstance(step, Visit) and step.station == station)
    return tuple(steps[: at + 1])


def _last(station: str, steps: Sequence[Step]) -> int:
    return max(at for at, step in enumerate(steps) if isinstance(step, Visit) and step.station == station)

"""Inputs -> Plan: month by month the cheapest sizes, what they cost and how they do, here and in other worlds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from kvplan.errors import InputError
from kvplan.plan.bill import bill
from kvplan.plan.explained import First, limits, numbers
from kvplan.plan.growth import data_bytes, growth, in_month
from kvplan.plan.inputs import Inputs, Region, mid
from kvplan.plan.outcome import Bill, Month, Number, Plan, RegionSize, State
from kvplan.plan.outlook import LATER, Latencies, Outlook, latencies, outlook
from kvplan.plan.prices import PriceTable, load_prices
from kvplan.plan.quantities import quantities
from kvplan.plan.search import Choice, smallest
from kvplan.plan.sizing import RULES, disk_bytes
from kvplan.plan.states import Kind, hits, situations, state, survives_zone
from kvplan.plan.worlds import spread, worlds

NOT_COVERED = (
    "not covered: requests in bursts, pauses of garbage collectors, limits of connections, conditional writes, the CPU "
    "of relays, traffic of repair"
)


def make_plan(
    inputs: Inputs, *, samples: int = 256, seed: int = 0, today: date | None = None, workers: int = 1
) -> Plan:
    """`samples`: worlds that are drawn, with `seed`, if a number is only known roughly. `today`: for the age of the
    prices; by default this machine's date. `workers`: processes that look at many worlds; more than one are started
    anew, so that a script needs its `if __name__ == "__main__"`. Raises InputError if an objective cannot be reached
    at any size."""
    prices, drawn = load_prices(inputs.prices), worlds(inputs, samples, seed)
    planned = [_sized(inputs, number + 1, prices, today or date.today(), drawn) for number in range(inputs.months)]
    first, last = planned[0], planned[-1]
    seen = outlook(drawn, first.sizes, inputs.months, last.sizes, workers=workers)
    states = tuple(
        state(inputs, first.choices[region.name].size, situation)
        for region in inputs.regions
        for situation in situations(inputs, region).values()
    )
    explained = First(inputs, drawn, first.choices, states, seen.latencies, first.bill, first.bills)
    limited = [
        f"{station} in {region}, full at {qps:,.0f} requests/s world-wide" for qps, station, region in limits(explained)
    ]
    return Plan(
        inputs=inputs,
        numbers=numbers(explained),
        months=tuple(_month(each, first, seen) for each in planned),
        states=states,
        bottleneck=limited[0],
        next_bottleneck=limited[1],
        notes=_notes(planned, states, prices),
    )


@dataclass(frozen=True)
class _Sized:
    """A month with its sizes. `worlds` are the present ones; they grow like the inputs."""

    number: int
    inputs: Inputs  # of this month, as are the next
    worlds: Sequence[Inputs]
    choices: Mapping[str, Choice]
    prices: PriceTable
    today: date

    @property
    def sizes(self) -> Mapping[str, RegionSize]:
        return {name: choice.size for name, choice in self.choices.items()}

    @cached_property
    def bill(self) -> Bill:
        return self._billed(self.inputs)

    @cached_property
    def bills(self) -> Sequence[Bill]:
        """In each world, with the hit rates of the middle one: they hardly move traffic."""
        return [self._billed(world) for world in self.worlds]

    @cached_property
    def middle(self) -> Latencies:
        return latencies(self.inputs, self.sizes)

    @cached_property
    def _hits(self) -> Mapping[str, float]:
        return {
            region.name: hits(self.inputs, self.sizes[region.name], situations(self.inputs, region)[Kind.NORMAL])
            for region in self.inputs.regions
        }

    def _billed(self, world: Inputs) -> Bill:
        used = [
            quantities(world, self.sizes[each.name], each, hit_rate=self._hits[each.name], prices=self.prices)
            for each in world.regions
        ]
        return bill(used, self.prices, self.today)


def _sized(inputs: Inputs, number: int, prices: PriceTable, today: date, drawn: Sequence[Inputs]) -> _Sized:
    grown = in_month(inputs, number)
    choices: dict[str, Choice] = {}
    for region in grown.regions:
        twin = next(
            (other for other in grown.regions if other.name in choices and _alike(region, other, prices)), region
        )
        try:
            choice = choices.get(twin.name) or smallest(grown, region, prices, today)
        except InputError as error:
            raise InputError(f"in month {number}, {error}" if number > 1 else str(error)) from None
        choices[region.name] = replace(choice, size=replace(choice.size, region=region.name))
    return _Sized(number, grown, [in_month(world, number) for world in drawn], choices, prices, today)


def _alike(one: Region, other: Region, prices: PriceTable) -> bool:
    """What is cheapest for one is so for the other. (Of equal shares each sees the same largest other region.)"""
    return one.model_copy(update={"name": other.name}) == other and prices.of(one.name) == prices.of(other.name)


def _month(month: _Sized, first: _Sized, seen: Outlook) -> Month:
    workload = month.inputs.workload
    requests, data = growth(workload, month.number)

    def grown(of: Callable[[Inputs], float], unit: str, now: float, factor: float) -> Number:
        formula = f"{now:.6g} x {factor:.4g}, the growth of {month.number - 1} months"
        return spread(of(month.inputs), [of(world) for world in month.worlds], unit, formula)

    peak, mean = mid(first.inputs.workload.peak_qps), workload.mean_to_peak
    total, unit = month.bill.total, f"{month.bill.currency} a month"
    return Month(
        number=month.number,
        peak_qps=grown(lambda world: mid(world.workload.peak_qps), "requests/s", peak, requests),
        mean_qps=grown(lambda world: mid(world.workload.peak_qps) * mean, "requests/s", peak * mean, requests),
        data_bytes=grown(lambda world: data_bytes(world.workload), "bytes", data_bytes(first.inputs.workload), data),
        sizes=tuple(month.sizes.values()),
        bill=month.bill,
        cost=spread(total, [each.total for each in month.bills], unit, f"the sum of the bill of month {month.number}"),
        p95={region.name: _p95(month, region.name, first, seen) for region in month.inputs.regions},
        holds=_holds(month.number, month.inputs.months, seen),
    )


def _p95(month: _Sized, region: str, first: _Sized, seen: Outlook) -> Number:
    """Low and high are as far from it as in the first month: sizes grow with the load."""
    now, value = first.middle[region, 95.0], month.middle[region, 95.0]
    if math.isinf(now) or math.isinf(value):
        return Number(value, "s", value, value, "unstable")
    among = [seconds[region, 95.0] * value / now for seconds in seen.latencies]
    return spread(
        value, among, "s", f"at {mid(month.inputs.workload.peak_qps):.6g} requests/s world-wide, nothing lost"
    )


def _holds(number: int, months: int, seen: Outlook) -> Number:
    """Computed for the first month and the last; evenly between."""
    at = (number - 1) / max(months - 1, 1)
    share = seen.first * (1 - at) + seen.last * at
    among = f"{len(seen.latencies)} worlds"
    if number > 1:
        among = f"{among}, on the way from {seen.first:.1%} to {seen.last:.1%} of every {LATER}th in month {months}"
    return Number(share, "of worlds", share, share, f"{share:.1%} of {among}")


def _notes(planned: Sequence[_Sized], states: Sequence[State], prices: PriceTable) -> tuple[str, ...]:
    inputs, warning = planned[0].inputs, planned[0].bill.warning
    fragile = [region.name for region in inputs.regions if not survives_zone(inputs, region)]
    full = next((each.number for each in planned if any(not _has_room(each, size) for size in each.sizes.values())), 0)
    beyond = dict.fromkeys(
        f"{each.name}: {each.prediction.beyond}" for each in states if each.prediction and each.prediction.beyond
    )
    said = {
        f"the disks that are given are too small from month {full} on, by the rule above": full,
        f"a lost zone is not planned in {', '.join(fragile)}: with its copies a quorum may be gone": fragile,
        "a lost region is not planned: there is only one": len(inputs.regions) == 1,
    }
    found = [note for note, is_so in said.items() if is_so]
    return (*RULES, *found, *beyond, *([warning] if warning else []), prices.note, NOT_COVERED)


def _has_room(month: _Sized, size: RegionSize) -> bool:
    return size.store_nodes * size.disk_bytes >= disk_bytes(month.inputs)

"""A plan whose states were simulated instead of computed: what `kvctl plan --simulate` shows."""

from collections.abc import Callable
from dataclasses import replace

from kvplan.model import Latency
from kvplan.plan.inputs import Region
from kvplan.plan.outcome import Plan, RegionSize, State
from kvplan.plan.states import Kind, missed, situations, system_in
from kvplan.report.text import percentile, seconds
from kvplan.simulate import Run, run

SEED = 1


def played(plan: Plan, tell: Callable[[str], None], requests: int) -> Plan:
    """The latencies of the states are those of a run of so many requests, and so is what holds. Stages, stations, the
    months and a cold cache, which has no objective, stay computed. `tell` hears of each state that is begun."""
    sizes = {size.region: size for size in plan.months[0].sizes}
    regions = {region.name: region for region in plan.inputs.regions}

    def of(state: State) -> State:
        if state.prediction is None or state.name == Kind.CACHE_COLD:
            return state
        tell(f"simulating {state.region}, {state.name}")
        return _played(plan, state, regions[state.region], sizes[state.region], requests)

    note = (
        f"Simulated: latencies of the states, {requests:,} requests each; the ranges are their 95 % confidence. "
        "Computed: stages, stations, months, curves, and a cold cache."
    )
    return replace(plan, states=tuple(of(state) for state in plan.states), notes=(note, *plan.notes))


def _played(plan: Plan, state: State, region: Region, size: RegionSize, requests: int) -> State:
    assert state.prediction is not None
    situation = situations(plan.inputs, region)[Kind(state.name)]
    seen = run(system_in(plan.inputs, size, situation, state.hit_rate), requests=requests, seed=SEED)
    classes = tuple(replace(each, latency=_latency(seen, each.latency, each.name)) for each in state.prediction.classes)
    prediction = replace(
        state.prediction, latency=_latency(seen, state.prediction.latency, None), classes=classes, beyond=None
    )
    late = missed(plan.inputs, prediction)
    why = "; ".join(
        f"{percentile(each)} {_between(seen, each)}, {'over' if each in late else 'within'} {seconds(limit)}"
        for each, limit in sorted(plan.inputs.objectives.items())
    )
    return replace(state, prediction=prediction, holds=not late, why=why)


def _latency(seen: Run, asked: Latency, name: str | None) -> Latency:
    latencies = seen.of(name)
    return Latency(
        mean=float(latencies[latencies < float("inf")].mean()),
        quantiles={each: seen.quantile(each, name) for each in asked.quantiles},
        within={each: seen.within(each, name) for each in asked.within},
    )


def _between(seen: Run, each: float) -> str:
    low, high = seen.interval(each)
    return f"{seconds(low)} to {seconds(high)}"

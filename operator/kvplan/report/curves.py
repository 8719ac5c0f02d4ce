"""How latency grows with load: each region of the plan as it is, asked for more and more."""

from collections.abc import Mapping
from dataclasses import dataclass

from kvplan.model import COARSE, predict
from kvplan.plan.inputs import Region
from kvplan.plan.outcome import Plan, RegionSize, State
from kvplan.plan.states import Kind, situations, system_in
from kvplan.report.tables import SHOWN

_POINTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.76, 0.82, 0.86, 0.9, 0.93, 0.95, 0.97)  # of the load that is too much


@dataclass(frozen=True)
class Curve:
    """`quantiles[i]`: percentile -> seconds at `loads[i]` requests/s in the region. `marks`: the loads that the plan
    holds with nothing of this region lost."""

    region: str
    loads: tuple[float, ...]
    quantiles: tuple[Mapping[float, float], ...]
    marks: Mapping[str, float]


def curves(plan: Plan) -> list[Curve]:
    """One for each region, at the size and the hit rate of the first month; none for a region that is unstable."""
    normal = {state.region: state for state in plan.states if state.name == Kind.NORMAL and state.prediction}
    return [
        _curve(plan, region, size, normal[region.name])
        for region, size in zip(plan.inputs.regions, plan.months[0].sizes, strict=True)
        if region.name in normal
    ]


def _curve(plan: Plan, region: Region, size: RegionSize, normal: State) -> Curve:
    path = system_in(plan.inputs, size, situations(plan.inputs, region)[Kind.NORMAL], normal.hit_rate)
    most = 1 / max(path.loads().values())
    predictions = [predict(path.at(path.rate * most * each), percentiles=SHOWN, resolution=COARSE) for each in _POINTS]
    return Curve(
        region=region.name,
        loads=tuple(normal.rate * most * each for each in _POINTS),
        quantiles=tuple(each.latency.quantiles for each in predictions),
        marks={
            state.name: state.rate
            for state in plan.states
            if state.region == region.name and state.name in {Kind.NORMAL, Kind.REGION_LOST}
        },
    )

"""What stands on top of a report: what was asked for, and the few figures that a reader wants first."""

from dataclasses import dataclass

from kvplan.plan.inputs import Range, Workload, mid
from kvplan.plan.outcome import Plan
from kvplan.report.tables import stable
from kvplan.report.text import amount, interval, number, percent, percentile, quantity, seconds, size

TITLE = "Capacity plan"


@dataclass(frozen=True)
class Fact:
    """`mark`: `yes` or `no`, of a fact that can be bad."""

    name: str
    value: str
    says: str = ""
    mark: str = ""


def asked(plan: Plan) -> str:
    """The workload and the objectives, in a sentence."""
    workload = plan.inputs.workload
    limits = " and ".join(f"{percentile(each)} within {seconds(s)}" for each, s in plan.inputs.objectives.items())
    regions = ", ".join(f"{region.name} {percent(region.share)}" for region in plan.inputs.regions)
    return (
        f"{_estimate(workload.peak_qps)} requests/s at peak, {percent(workload.reads)} reads of "
        f"{size(mid(workload.value_bytes))}, {_records(workload)}; {regions}. Asked for: {limits}."
    )


def _records(workload: Workload) -> str:
    return f"{_estimate(workload.records)} records with Zipf {_estimate(workload.skew)}"


def _estimate(value: float | Range) -> str:
    if isinstance(value, Range):
        return f"{quantity(value.mid)} ({quantity(value.low)} to {quantity(value.high)})"
    return quantity(value)


def facts(plan: Plan) -> list[Fact]:
    """Verdict, latency, cost, bottleneck and the next one."""
    first, last = plan.months[0], plan.months[-1]
    later = f"month {last.number}: {number(last.cost)}" if last is not first else ""
    costs = "; ".join(filter(None, (interval(first.cost), later)))
    return [
        _verdict(plan),
        *_latency(plan),
        Fact("Cost of month 1", amount(first.cost.value, first.cost.unit), costs),
        Fact("Bottleneck", plan.bottleneck, f"next: {plan.next_bottleneck}"),
    ]


def _verdict(plan: Plan) -> Fact:
    failing = [state for state in plan.states if not state.holds]
    if not failing:
        return Fact("Objectives", "hold", f"in every state; {number(plan.months[0].holds)}", "yes")
    regions = dict.fromkeys(state.region for state in failing)
    return Fact(
        "Objectives",
        f"{len(plan.states) - len(failing)} of {len(plan.states)} states hold",
        "not: "
        + "; ".join(
            f"{region} ({', '.join(state.name for state in failing if state.region == region)})" for region in regions
        ),
        "no",
    )


def _latency(plan: Plan) -> list[Fact]:
    worst = next(stable(plan), None)
    if worst is None:
        return []
    p95 = plan.months[0].p95[worst.region]
    says = "; ".join(filter(None, (interval(p95), "nothing lost")))
    return [Fact(f"p95 at peak, {worst.region}", seconds(p95.value), says)]

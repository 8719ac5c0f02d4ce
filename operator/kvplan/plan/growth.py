"""The months to come: the workload of each, and how much data there is. Month 1 is now."""

from kvplan.plan.inputs import Inputs, Range, Workload, mid

ROW_OVERHEAD = 60.0
"""Bytes of a record in the store beside id and value: the envelope's head, origin region and content type (about 42),
and a row's own lengths, flags and timestamp (about 18)."""


def in_month(inputs: Inputs, number: int) -> Inputs:
    """The inputs with the workload of that month."""
    requests, data = growth(inputs.workload, number)
    workload = inputs.workload
    grown = {"peak_qps": _times(workload.peak_qps, requests), "records": _times(workload.records, data)}
    return inputs.model_copy(update={"workload": workload.model_copy(update=grown)})


def growth(workload: Workload, number: int) -> tuple[float, float]:
    """By which factors requests and data have grown by month `number`."""
    months = number - 1
    return (1 + workload.qps_growth_per_month) ** months, (1 + workload.data_growth_per_month) ** months


def data_bytes(workload: Workload) -> float:
    """Of one copy of all records, as they lie in the store."""
    return mid(workload.records) * (mid(workload.value_bytes) + workload.id_bytes + ROW_OVERHEAD)


def _times(estimate: float | Range, factor: float) -> float | Range:
    if isinstance(estimate, Range):
        return Range(low=estimate.low * factor, mid=estimate.mid * factor, high=estimate.high * factor)
    return estimate * factor

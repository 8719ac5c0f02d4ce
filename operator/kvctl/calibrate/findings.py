"""From what was counted to what a plan is told: the fields of `kvplan.plan.inputs.Service` that could be measured, and
why the others could not. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kvctl.calibrate.counts import Counts
from kvctl.calibrate.shape import Spread, spread
from kvctl.calibrate.split import Cost, costs, kinds_of
from kvctl.errors import MeasureError
from kvplan.plan.inputs import Service

MAX_BUSY = 0.3  # of a pod's time, beyond which latencies hold noticeable waits
_OUTSIDE = "a pod does not see it"
_FIELDS = {"hits": "podRead", "misses": "podMiss", "writes": "podWrite"}
_VISITS = {"hits": 2, "misses": 3, "writes": 3}  # of the event loop: kvplan's CV is that of each
_NAMES = {"hits": "cached reads", "misses": "reads that missed", "writes": "writes"}


@dataclass(frozen=True)
class Findings:
    """`service`: field (camelCase) -> value, as a plan reads it. `notes`: field -> how it was measured, or why not.
    `about` and `warnings`: sentences on all of it."""

    service: dict[str, Any]
    notes: dict[str, str]
    about: str
    warnings: tuple[str, ...]


def findings(intervals: Sequence[Counts], *, pod_seconds: float, pods: int) -> Findings:
    """`intervals`: what each pod did in each of them; `pod_seconds`: their sum of time. Raises MeasureError if there
    was nothing to measure."""
    total = Counts()
    for each in intervals:
        total = total.plus(each)
    if total.reads + total.writes < 1:
        raise MeasureError(
            "no record was read or written in between; calibrate while there is load, such as kvctl load"
        )
    notes = dict.fromkeys((field.alias or name for name, field in Service.model_fields.items()), _OUTSIDE)
    service = _pod(intervals, total, notes) | _store(total, notes)
    busy = total.cpu_s / pod_seconds
    about = (
        f"{pods} pods for {pod_seconds / pods:.0f} s: {total.requests / pod_seconds:.1f} requests/s a pod, "
        f"{busy:.0%} busy; {_share(total.hits, total.reads)} of the reads were cached"
    )
    return Findings(service, notes, about, tuple(_warnings(total, busy)))


def _pod(intervals: Sequence[Counts], total: Counts, notes: dict[str, str]) -> dict[str, Any]:
    kinds = kinds_of(intervals)
    for kind in set(_FIELDS) - set(kinds):
        notes[_FIELDS[kind]] = f"next to no {_NAMES[kind]} came"
    found = costs(intervals, kinds)
    if found is None:  # then all that can be said is said of the kind that there was most of
        most = max(kinds, key=lambda kind: float(getattr(total, kind)))
        for kind in kinds:
            notes[_FIELDS[kind]] = "could not be told from the other kinds: the mixture was the same all the time"
        average = total.cpu_s / (total.reads + total.writes)
        found = {most: Cost(average, average, average)}
        notes[_FIELDS[most]] = "CPU a request, an average over all kinds: the mixture was the same all the time"
    else:
        notes |= {_FIELDS[kind]: "CPU a request, by least squares" for kind in kinds}
    return {_FIELDS[kind]: _time(cost, _uneven(kind, total, notes)) for kind, cost in found.items() if cost.mid > 0}


def _uneven(kind: str, total: Counts, notes: dict[str, str]) -> float | None:
    """The CV of each visit: of n visits that vary alike and by themselves, the sum's is less by the root of n."""
    times = total.writes_s if kind == "writes" else total.reads_s
    of_kind = kind == "writes" or max(total.hits, total.misses) > 0.9 * total.reads
    told = spread(times) if of_kind else None
    if told is None:
        notes[_FIELDS[kind]] += "; its CV is not measured: the buckets do not tell it"
        return None
    notes[_FIELDS[kind]] += f"; its CV from how long requests took in the pod, {_interval(told)}, over its visits"
    return min(told.cv * math.sqrt(_VISITS[kind]), 10.0)


def _store(total: Counts, notes: dict[str, str]) -> dict[str, Any]:
    found = {}
    for field, times in (("storeRead", total.store_reads_s), ("storeWrite", total.store_writes_s)):
        if not times.count:
            notes[field] = "the store was not asked"
            continue
        told = spread(times)
        found[field] = _time(Cost(times.mean_s, times.mean_s, times.mean_s), told.cv if told else None)
        cv = f"CV {_interval(told)}" if told else "its CV is not measured: the buckets do not tell it"
        notes[field] = (
            f"the pod's wait for the whole operation, {times.count:.0f} of them, taken as one replica's; {cv}"
        )
    return found


def _time(cost: Cost, cv: float | None) -> dict[str, Any]:
    low, middle, high = (_rounded(value) for value in (cost.low, cost.mid, cost.high))
    mean: Any = {"low": low, "mid": middle, "high": high} if low < high else middle
    return {"mean": mean} | ({} if cv is None else {"cv": _rounded(cv)})


def _warnings(total: Counts, busy: float) -> list[str]:
    found = []
    if busy > MAX_BUSY:
        found.append(
            f"pods were {busy:.0%} busy, above {MAX_BUSY:.0%}: latencies hold waits, so the CVs and the store's times "
            "are too high; measure these at a lower load (the CPU a request is right at the load it was measured at)"
        )
    if total.other > 0.05 * total.requests:
        found.append(
            f"{_share(total.other, total.requests)} of the requests were neither reads nor writes of one record; their "
            "CPU is counted to these"
        )
    return found


def _interval(told: Spread) -> str:
    return f"{told.cv:.2f} ({told.low:.2f} to {told.high:.2f})"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")

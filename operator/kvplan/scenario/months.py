"""Growth month by month: each month's peak is played with nothing lost and with each event alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kvplan.errors import InputError
from kvplan.scenario.engine.state import Count
from kvplan.scenario.file import Scenario
from kvplan.scenario.happenings import scaled
from kvplan.scenario.outcome import GOOD, Run
from kvplan.scenario.play import Progress, play, say_nothing


@dataclass(frozen=True)
class MonthState:
    """The second half of a run. `p95` (s) and `goodput` of the region's clients for whom it is worst. `load` of the
    busiest station, in the region where it is busiest."""

    month: int
    peak_qps: float
    state: str
    p95: float
    goodput: float
    holds: bool
    station: str
    region: str
    load: float


def months(scenario: Scenario, progress: Progress = say_nothing) -> tuple[MonthState, ...]:
    """By month and state. Raises InputError for a scenario without `months`."""
    if not scenario.months:
        raise InputError(f"{scenario.name} has no months; expected the field months, with count and growth")
    runs = list(_states(scenario))
    made = []
    for number, (month, state, asked) in enumerate(runs):

        def told(done: float, whole: float, number: int = number) -> None:
            progress(number + done / whole, len(runs))

        made.append(_judged(month, state, play(asked, told), scenario.months.p95))
    return tuple(made)


def _states(scenario: Scenario) -> Iterator[tuple[int, str, Scenario]]:
    """(month, state, what to play)."""
    growing = scenario.months
    assert growing is not None
    for month in range(1, growing.count + 1):
        workload = scenario.workload.model_copy(
            update={
                "peak_qps": scenario.workload.peak_qps * (1 + growing.growth) ** (month - 1),
                "records": round(scenario.workload.records * (1 + growing.record_growth) ** (month - 1)),
            }
        )
        grown = scenario.model_copy(update={"workload": workload, "months": None})
        yield month, "normal", grown.model_copy(update={"events": ()})
        for event in scenario.events:
            yield month, event.event, grown.model_copy(update={"events": (event,)})


def _judged(month: int, state: str, run: Run, most: float) -> MonthState:
    scenario = run.scenario
    half = slice(scenario.duration // 2, None)
    worst = float(np.max([run.p95(half.start, scenario.duration, each) for each in range(len(scenario.regions))]))
    goodput = min(run.goodput_of(half, region) for region in range(len(scenario.regions)))
    loads = {
        (station, region.name): float(load[half].mean())
        for station, each in stations(run).items()
        for region, load in zip(scenario.regions, each, strict=True)
    }
    (station, where), load = max(loads.items(), key=lambda item: item[1])
    holds = worst <= most and goodput >= GOOD
    return MonthState(month, scenario.workload.peak_qps, state, worst, goodput, holds, station, where, load)


def stations(run: Run) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Station -> its load, shape (regions, seconds): work begun in a second over what there is to do it."""
    shards = np.array([[scaled(region.cache_shards, run.scenario.scale)] for region in run.scenario.regions])
    pods = np.maximum(run.seconds[:, :, Count.PODS], 1)
    return {
        "pods": run.seconds[:, :, Count.POD_BUSY] / pods,
        "cache": run.seconds[:, :, Count.CACHE_BUSY] / shards,
        "store": run.seconds[:, :, Count.STORE_BUSY],
    }

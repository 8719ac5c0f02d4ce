"""Runs as tables, JSON, Markdown and one HTML page."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import numpy as np

from kvplan.laws import Floats
from kvplan.scenario.engine.state import Count
from kvplan.scenario.file import Event, Scenario
from kvplan.scenario.months import MonthState, stations
from kvplan.scenario.outcome import Run
from kvplan.scenario.play import Variant


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def about(scenario: Scenario) -> Iterator[str]:
    """What was played, in sentences."""
    regions = ", ".join(
        f"{each.name} {scenario.workload.peak_qps * each.share:,.0f}/s on {each.pods} pods and {each.store_servers} "
        "store servers"
        for each in scenario.regions
    )
    yield f"{scenario.name}: {scenario.about}" if scenario.about else scenario.name
    yield f"Played {scenario.duration} s, seed {scenario.seed}: {regions}."
    yield f"Protections: {', '.join(scenario.protections.named()) or 'none'}."
    for event in scenario.events:
        yield f"At {event.at:g} s: {told(event)}."
    if scenario.scale > 1:
        yield (
            f"At a scale of 1/{scenario.scale}: each region with that part of its rate, pods, servers, records and "
            "entries, so with the same load each, but fewer of them to share it: waits are a little longer than true."
        )


def told(event: Event) -> str:
    """The event and its numbers, as in a file."""
    own = event.model_dump(by_alias=True, exclude={"event", "at", "region"}, exclude_none=True)
    numbers = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in own.items()
    )
    return f"{event.event} in {event.region or 'every region'}{f' ({numbers})' if numbers else ''}"


def summary(variants: Sequence[Variant]) -> Table:
    """A row each. Latencies are of what was answered in time."""
    columns = ("run", "answered in time", "worst second", "bad seconds", "recovered after", "p95 before")
    return Table(
        "What came of it",
        (*columns, "during", "after", "attempts each"),
        tuple(_row(each.name, each.run) for each in variants),
    )


def _row(name: str, run: Run) -> tuple[str, ...]:
    worst = run.worst_second
    return (
        name,
        percent(run.goodput_share),
        "-" if worst is None else f"{percent(run.goodput[worst])} at {worst} s",
        str(run.bad_seconds),
        _recovered(run),
        *(milliseconds(run.p95(*phase)) for phase in run.phases.values()),
        f"{run.attempts['attempts'] / max(run.attempts['requests'], 1):.2f}",
    )


def _recovered(run: Run) -> str:
    if not run.scenario.events:
        return "-"
    after = run.recovered_after
    if after is None:
        return "not in this run"
    return f"{after} s" if run.bad_seconds else "never fell"


def growth(states: Sequence[MonthState]) -> Table:
    rows = [
        (
            str(each.month),
            f"{each.peak_qps:,.0f}",
            each.state,
            milliseconds(each.p95),
            percent(each.goodput),
            "yes" if each.holds else "NO",
            f"{each.station} in {each.region}, {each.load:.0%} busy",
        )
        for each in states
    ]
    columns = ("month", "peak requests/s", "state", "worst p95", "answered in time", "holds", "what binds")
    return Table("Month by month", columns, tuple(rows))


def verdict(states: Sequence[MonthState]) -> str:
    """When it stops holding, and why."""
    broken = next((each for each in states if not each.holds), None)
    if broken is None:
        return f"It holds in all {states[-1].month} months."
    return (
        f"It stops holding in month {broken.month}, at {broken.peak_qps:,.0f} requests/s, in the state {broken.state}: "
        f"p95 {milliseconds(broken.p95)}, {percent(broken.goodput)} answered in time; what binds is the "
        f"{broken.station} in {broken.region}, {broken.load:.0%} busy."
    )


def as_json(variants: Sequence[Variant]) -> dict[str, Any]:
    """Times in seconds; a number that there is not is null."""
    return {
        "scenario": variants[0].run.scenario.model_dump(mode="json", by_alias=True, exclude_none=True),
        "runs": [_run_as_json(each) for each in variants],
    }


def _run_as_json(variant: Variant) -> dict[str, Any]:
    run = variant.run
    return {
        "run": variant.name,
        "protections": run.scenario.protections.named(),
        "goodput": _finite(run.goodput_share),
        "badSeconds": run.bad_seconds,
        "worstSecond": run.worst_second,
        "recoveredAfter": run.recovered_after,
        "p95": {name: _finite(run.p95(*phase)) for name, phase in run.phases.items()},
        "attempts": run.attempts,
        "regions": {region.name: _series(run, index) for index, region in enumerate(run.scenario.regions)},
    }


_SHOWN = {
    "arrivals": Count.ARRIVED,
    "answered": Count.ANSWERED,
    "failed": Count.FAILED,
    "shed": Count.SHED,
    "attempts": Count.ATTEMPTS,
    "stale": Count.STALE,
    "hedges": Count.HEDGES,
    "podQueue": Count.POD_QUEUE,
    "storeQueue": Count.STORE_QUEUE,
}


def _series(run: Run, region: int) -> dict[str, list[float | None]]:
    """A number each second."""
    seconds = run.seconds[region]
    with np.errstate(invalid="ignore"):
        hits = seconds[:, Count.HITS] / seconds[:, Count.LOOKUPS]
    return {
        **{name: _finites(seconds[:, column]) for name, column in _SHOWN.items()},
        "hitRate": _finites(hits),
        **{f"{station}Load": _finites(load[region]) for station, load in stations(run).items()},
        **{f"p{percentile}": _finites(run.quantiles(percentile, region)) for percentile in (50, 95, 99)},
    }


def growth_as_json(scenario: Scenario, states: Sequence[MonthState]) -> dict[str, Any]:
    return {
        "scenario": scenario.model_dump(mode="json", by_alias=True, exclude_none=True),
        "months": [{key: _finite(value) for key, value in asdict(each).items()} for each in states],
    }


def _finites(values: Floats) -> list[float | None]:
    return [_finite(float(value)) for value in values]


def _finite(value: Any) -> Any:
    """What JSON can say, without digits that mean nothing."""
    if not isinstance(value, float):
        return value
    return round(value, 6) if math.isfinite(value) else None


def markdown(lines: Sequence[str], tables: Sequence[Table]) -> str:
    return "\n".join([*(f"{line}\n" for line in lines), *map(_markdown_table, tables)])


def _markdown_table(table: Table) -> str:
    rows = [table.columns, ("---",) * len(table.columns), *table.rows]
    return f"## {table.title}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def html(lines: Sequence[str], tables: Sequence[Table], picture: str = "") -> str:
    """One page, without scripts; `picture` is SVG. Everything that is the user's is escaped."""
    head, *rest = [escape(line) for line in lines]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{head}</title>'
        f"<style>{_LOOKS}</style></head>\n"
        f"<body><h1>{head}</h1>\n{''.join(f'<p>{line}</p>' for line in rest)}\n"
        f"{''.join(map(_html_table, tables))}\n{picture}</body></html>\n"
    )


_LOOKS = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "h1{font-size:1.3rem}h2{font-size:1.1rem}p{margin:.3rem 0}table{border-collapse:collapse;font-size:.85rem}"
    "th,td{text-align:left;padding:.25rem .7rem .25rem 0;border-bottom:1px solid #ddd}svg{max-width:100%;height:auto}"
)


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in table.rows)
    return f"<h2>{escape(table.title)}</h2>\n<table><tr>{head}</tr>\n{rows}</table>\n"


def percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{math.floor(share * 10000) / 100:.2f} %"


def milliseconds(seconds: float) -> str:
    if math.isnan(seconds):
        return "-"
    return f"{seconds * 1000:.3g} ms" if seconds < 0.1 else f"{seconds * 1000:,.0f} ms"

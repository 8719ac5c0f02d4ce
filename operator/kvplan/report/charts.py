"""The charts of the HTML report: SVG, drawn by matplotlib, in the page's own font and colours.

The only module that imports matplotlib; whoever wants a chart imports this one when it is needed, not before.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from kvplan.plan.outcome import Number, Plan, State
from kvplan.report.curves import Curve
from kvplan.report.tables import SHOWN, by_kind, clients_classes, stages
from kvplan.report.text import percentile, seconds

# Stand-ins, which become the page's own colours: so that charts follow it from light to dark.
_INK, _FAINT = "#010203", "#040506"
_STYLE: Any = {  # the keys are matplotlib's
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
_COLOURS = (
    "#4c78a8",
    "#f58518",
    "#54a24b",
    "#e45756",
    "#72b7b2",
    "#b279a2",
    "#eeca3b",
    "#9d755d",
    "#8c8c94",
    "#d67195",
)
_COUNTS = StrMethodFormatter("{x:,.10g}")
_GIB = 2.0**30
_SPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def latency(curve: Curve, objectives: Mapping[float, float]) -> str:
    """Percentiles of a region against its load, its objectives, and the loads it must hold."""

    def draw(axes: Axes) -> None:
        highest = max(row[SHOWN[-1]] for row in curve.quantiles)
        top = 1.15e3 * max(highest, min(objectives.values(), default=0.0))
        for each, colour in zip(SHOWN, _COLOURS, strict=False):
            label = (
                f"{percentile(each)}, objective {seconds(objectives[each])}" if each in objectives else percentile(each)
            )
            axes.plot(
                curve.loads, [1e3 * row[each] for row in curve.quantiles], color=colour, label=label, linewidth=1.8
            )
            if each in objectives:
                axes.axhline(1e3 * objectives[each], color=colour, linestyle="--", linewidth=1)
        for name, rate in curve.marks.items():
            axes.axvline(rate, color=_INK, linestyle=":", linewidth=1)
            axes.annotate(f"{name} ", (rate, top), rotation=90, va="top", ha="right", fontsize=8)
        axes.set(ylim=(0, top), xlim=(0, None), xlabel=f"requests/s in {curve.region}", ylabel="ms")
        axes.xaxis.set_major_formatter(_COUNTS)
        axes.legend(loc="center left")

    return _svg(draw, f"Latency against load in {curve.region}")


def growth(plan: Plan) -> str:
    """QPS, data and pods over the months, with their ranges."""
    numbers = [month.number for month in plan.months]

    def draw(qps: Axes, data: Axes, pods: Axes) -> None:
        _band(qps, numbers, [month.peak_qps for month in plan.months], "peak", _COLOURS[0])
        _band(qps, numbers, [month.mean_qps for month in plan.months], "mean", _COLOURS[4])
        qps.set(ylabel="requests/s")
        qps.legend(loc="upper left")
        _band(data, numbers, [month.data_bytes for month in plan.months], "data", _COLOURS[1], scale=_GIB)
        data.set(ylabel="GiB, one copy")
        _stack(pods, numbers, _pods(plan))
        pods.set(ylabel="pods")
        pods.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
        for axes in (qps, data, pods):
            axes.set(xlabel="month", ylim=(0, None))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_formatter(_COUNTS)

    return _svg(draw, "Growth: requests, data and pods by month", panels=3)


def _band(axes: Axes, at: Sequence[int], numbers: Sequence[Number], label: str, colour: str, scale: float = 1) -> None:
    axes.plot(at, [each.value / scale for each in numbers], color=colour, label=label, linewidth=1.8)
    low, high = [each.low / scale for each in numbers], [each.high / scale for each in numbers]
    axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)


def _pods(plan: Plan) -> dict[str, list[float]]:
    """Region -> its pods, month by month."""
    return {
        region.name: [float(month.sizes[index].pods) for month in plan.months]
        for index, region in enumerate(plan.inputs.regions)
    }


def _stack(axes: Axes, at: Sequence[int], layers: Mapping[str, Sequence[float]]) -> None:
    below = [0.0] * len(at)
    for index, (name, heights) in enumerate(layers.items()):
        axes.bar(at, heights, bottom=below, color=_COLOURS[index % len(_COLOURS)], label=name, width=0.8)
        below = [low + height for low, height in zip(below, heights, strict=True)]


def cost(plan: Plan) -> str:
    """What each kind costs, stacked, over the months."""
    kinds = [by_kind(month.bill) for month in plan.months]
    names = sorted(
        {kind for each in kinds for kind in each}, key=lambda name: -sum(each.get(name, 0) for each in kinds)
    )

    def draw(axes: Axes) -> None:
        at = [month.number for month in plan.months]
        _stack(axes, at, {name: [each.get(name, 0.0) for each in kinds] for name in names})
        axes.set(xlabel="month", ylabel=f"{plan.months[0].bill.currency} a month", xticks=at)
        axes.yaxis.set_major_formatter(_COUNTS)
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.5))

    return _svg(draw, "Cost by kind, by month")


def budget(state: State) -> str:
    """Where the mean of each class goes, stage by stage."""
    classes = {each.name: stages(each) for each in reversed(clients_classes(state))}
    names = list(dict.fromkeys(stage.name for found in reversed(classes.values()) for stage in found))

    def draw(axes: Axes) -> None:
        begins = [0.0] * len(classes)
        for index, name in enumerate(names):
            widths = [1e3 * sum(stage.mean for stage in found if stage.name == name) for found in classes.values()]
            colour = _COLOURS[index % len(_COLOURS)]
            axes.barh(list(classes), widths, left=begins, color=colour, label=name, height=0.6)
            begins = [begin + width for begin, width in zip(begins, widths, strict=True)]
        axes.set(xlabel="ms, mean")
        axes.grid(visible=False, axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    return _svg(draw, f"Where the mean latency goes in {state.region}", height=0.9 + 0.5 * len(classes))


def _svg(draw: Callable[..., None], title: str, *, panels: int = 1, height: float = 2.9) -> str:
    """An <svg> element to stand in a page."""
    with rc_context({**_STYLE, "svg.hashsalt": title}):  # the same plan, the same bytes; no id is in a page twice
        figure = Figure(figsize=(9, height), layout="constrained")
        draw(*figure.subplots(1, panels, squeeze=False)[0])
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    body = file.getvalue().partition("</defs>")[2].replace(_INK, "currentColor").replace(_FAINT, "var(--line)")
    body = re.sub(r'<g id="[^"]*">', "<g>", body)  # they name no content, and would be the same in every chart
    box = f'viewBox="0 0 {9 * 72} {height * 72:g}"'
    return f'<svg role="img" aria-label="{escape(title)}" {box} {_SPACES}>{body}'

"""What a run looks like over time: goodput, p95 and hit rate, with the events marked. The only module of this room
that imports matplotlib, when something is drawn."""

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

from kvplan.scenario.file import Slow
from kvplan.scenario.outcome import Run
from kvplan.scenario.play import Variant

_STYLE: Any = {  # the keys are matplotlib's
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "kvplan",  # the same picture is the same file
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
_FIRST, _LAST = "#1f4e9c", "#d62728"  # the two that one compares above all
_OTHERS = (
    "#f58518",
    "#54a24b",
    "#72b7b2",
    "#b279a2",
    "#eeca3b",
    "#9d755d",
    "#8c8c94",
    "#ff9da6",
    "#17becf",
)  # as many as there are protections


def svg(variants: Sequence[Variant]) -> str:
    """To be put into a page: begins with its svg element."""
    with io.StringIO() as text, rc_context(_STYLE):
        figure(variants).savefig(text, format="svg", metadata={"Date": None}, bbox_inches="tight")
        return re.sub(r"^.*?(?=<svg)", "", text.getvalue(), flags=re.DOTALL)


def save(variants: Sequence[Variant], file: str) -> None:
    """As an image of the kind that the name's ending says. Raises OSError."""
    with rc_context(_STYLE):
        figure(variants).savefig(file, dpi=150, bbox_inches="tight")


def figure(variants: Sequence[Variant]) -> Figure:
    """All variants are of one scenario."""
    made = Figure(figsize=(8, 7), layout="constrained")
    goodput, latency, hits = made.subplots(3, 1, sharex=True)
    colours = [_FIRST, *_OTHERS[: len(variants) - 2], _LAST]
    for variant, colour in zip(variants, colours, strict=False):
        _draw(variant, colour, goodput, latency, hits)
    for axes, label in ((goodput, "answered in time"), (latency, "p95 of answers"), (hits, "cache hit rate")):
        axes.set_ylabel(label)
        _mark(axes, variants[0].run)
    for axes in (goodput, hits):
        axes.set_ylim(-0.02, 1.05)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    latency.set_yscale("log")
    latency.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    latency.yaxis.set_major_formatter(StrMethodFormatter("{x:g} ms"))
    latency.yaxis.set_minor_formatter(NullFormatter())
    latency.grid(which="minor", axis="y", linewidth=0.2)
    hits.set_xlabel("seconds")
    hits.set_xlim(0, variants[0].run.scenario.duration)
    _name_events(goodput, variants[0].run)
    made.legend(*goodput.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return made


def _draw(variant: Variant, colour: str, goodput: Axes, latency: Axes, hits: Axes) -> None:
    run = variant.run
    seconds = np.arange(run.scenario.duration)
    bold = colour in (_FIRST, _LAST)
    style: Any = {
        "color": colour,
        "linewidth": 1.8 if bold else 0.9,
        "zorder": 3 if bold else 2,
        "label": variant.name,
    }
    goodput.plot(seconds[: run.judged], run.goodput, **style)
    latency.plot(seconds, run.quantiles(95) * 1000, **style)
    hits.plot(seconds, run.hit_rate, **style)


def _mark(axes: Axes, run: Run) -> None:
    for event in run.scenario.events:
        lasts = getattr(event, "lasts", None)
        axes.axvline(event.at, color="#888888", linewidth=0.8, linestyle="--")
        if lasts:
            axes.axvspan(event.at, event.at + lasts, color="#888888", alpha=0.12, linewidth=0)


def _name_events(axes: Axes, run: Run) -> None:
    """Above the plot, those close to each other one below the other."""
    last, row = -np.inf, 0
    for event in sorted(run.scenario.events, key=lambda each: each.at):
        row = row + 1 if event.at - last < run.scenario.duration / 6 else 0
        last = event.at
        what = f"slow {event.dependency}" if isinstance(event, Slow) else event.event
        axes.annotate(
            f"{what} ({event.region})" if event.region else what,
            (event.at, 1),
            xycoords=("data", "axes fraction"),
            xytext=(2, 3 + 11 * row),
            textcoords="offset points",
            fontsize=8.5,
            color="#555555",
        )

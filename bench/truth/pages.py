"""What was found, as a table for the terminal, as JSON and as a page. Runs are plain dictionaries, as they are kept."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from bench.truth.beds import BEDS, Bed
from bench.truth.calibration import Shape

Run = dict[str, Any]
_ABOUT = (
    "Written by `bench/model.py`; not to be edited. A real pod (`kvservice serve`, one event loop) answers reads of "
    "cached 2 KB values; `kvctl load` sends them, open loop. Load is the rate over what the pod can do."
)
_TRIALS = Path(__file__).with_name("trials.json")
PERCENTILES = ("p50", "p95", "p99")
PREDICTIONS = {
    "kvplan": "kvplan's prediction from what was measured before the run",
    "own": "the same, with the CPU seconds and the rate that the run itself has had",
    "simulated": "no model: kvplan's simulator, told the same as `kvplan`",
}


def load_runs(path: Path) -> list[Run]:
    """Those with a result: one that failed is made again."""
    runs: list[Run] = json.loads(path.read_text())["runs"] if path.is_file() else []
    return [run for run in runs if "measured" in run]


def save(path: Path, runs: Sequence[Run], rules: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"rules": list(rules), "runs": list(runs)}, indent=1) + "\n")
    new.replace(path)


def error(run: Run, prediction: str, percentile: str) -> float:
    """Predicted over measured, less 1."""
    return float(run["predicted"][prediction][percentile] / run["measured"][percentile] - 1)


def verdicts(runs: Sequence[Run], bars: dict[float, float]) -> list[list[str]]:
    """A row a load: mean |p95 error| of the valid runs, of each prediction, and whether it is within the bar."""
    rows = []
    for load, bar in bars.items():
        valid = [run for run in runs if run["load"] == load and not run["void"]]
        void = sum(run["load"] == load for run in runs) - len(valid)
        found = [_verdict([error(run, name, "p95") for run in valid], bar) for name in PREDICTIONS]
        rows.append([f"{load:g}", str(len(valid)), str(void), f"{bar:.0%}", *found])
    return rows


def _verdict(errors: list[float], bar: float) -> str:
    if not errors:
        return "not measured"
    found = mean(map(abs, errors))
    return f"{found:.1%}, {'within' if found <= bar else 'BEYOND'} (median {median(errors):+.1%})"


VERDICT_COLUMNS = ("load", "valid", "void", "bar", *PREDICTIONS)


def line(run: Run) -> str:
    """A run, for the terminal."""
    head = f"{run['bed']} round {run['round']} load {run['load']:g}"
    if "measured" not in run:
        return f"{head}: VOID: {'; '.join(run['void'])}"
    measured = "/".join(f"{run['measured'][each] * 1000:.1f}" for each in PERCENTILES)
    errors = "  ".join(f"{name} {error(run, name, 'p95'):+.1%}" for name in PREDICTIONS)
    void = f"  VOID: {'; '.join(run['void'])}" if run["void"] else ""
    return f"{head} {run['rate']:.0f}/s busy {run['busy']:.0%}: p50/p95/p99 {measured} ms; p95 error {errors}{void}"


def shares(shape: Shape) -> str:
    return " + ".join(f"{share:.0%}" for share in shape.shares)


def page(runs: Sequence[Run], rules: Sequence[str], bars: dict[float, float]) -> str:
    """docs/model-measured.md."""
    parts = [
        "# The model beside measured runs",
        _ABOUT,
        "**Rules of validity, fixed before the runs:**",
        "\n".join(f"- {rule}" for rule in rules),
        "**Predictions:**",
        "\n".join(f"- `{name}`: {meaning}." for name, meaning in PREDICTIONS.items()),
        "Errors are predicted over measured, less 1.",
    ]
    for name, bed in BEDS.items():
        if of_bed := [run for run in runs if run["bed"] == name]:
            parts += _bed(bed, of_bed, bars)
    return "\n\n".join([*parts, *_trials()]) + "\n"


def _trials() -> Iterator[str]:
    """What was measured before the paced bed was as it is."""
    yield "## Earlier runs\n\nOf paced beds that were then changed, for the reasons given; the rules were these."
    for trial in json.loads(_TRIALS.read_text()):
        yield trial["why"]
        yield _table(("round", "load", "p95 ms", "kvplan p95", "void"), map(_trial_row, trial["runs"]))


def _trial_row(run: Run) -> list[str]:
    p95 = f"{run['measured']['p95'] * 1000:.1f}"
    return [str(run["round"]), f"{run['load']:g}", p95, f"{error(run, 'kvplan', 'p95'):+.1%}", "; ".join(run["void"])]


def _bed(bed: Bed, runs: Sequence[Run], bars: dict[float, float]) -> list[str]:
    shown = [run for run in runs if "measured" in run]
    failed = [[str(run["round"]), f"{run['load']:g}", "; ".join(run["void"])] for run in runs if "measured" not in run]
    columns = ["round", "load", "reads/s", "busy", "sleeps", "CPU µs", "CV", *(f"{each} ms" for each in PERCENTILES)]
    columns += [f"{name} {each}" for name in PREDICTIONS for each in PERCENTILES] + ["void"]
    asked = ", ".join(f"{mean_s * 1e6:.0f} µs (CV {cv:g})" for mean_s, cv in bed.pace)
    parts = [f"## {bed.title}", bed.about, *([f"The laws asked for: {asked}."] if asked else [])]
    parts += ["Mean |p95 error| of the valid runs:", _table(VERDICT_COLUMNS, verdicts(runs, bars))]
    if shown:
        parts += ["What the model was told, as measured before the runs, in µs:", _table(_TOLD_COLUMNS, _told(shown))]
        parts += ["All runs:", _table(columns, map(_row, shown))]
    if failed:
        parts += ["Runs without a result:", _table(["round", "load", "why"], failed)]
    return parts


_TOLD_COLUMNS = ("round", "a read", "its visits", "their CVs", "a waking-up", "the cache", "client and loopback", "CV")


def _told(runs: Sequence[Run]) -> list[list[str]]:
    rows = []
    for number, known in {run["round"]: run["costs"] for run in runs}.items():
        split, warm = known["shape"], known["warm"]
        visits = " + ".join(f"{warm * share * 1e6:.0f}" for share in split["shares"])
        cvs = ", ".join(f"{cv:.2f}" for cv in split["cvs"])
        rest = [f"{seconds * 1e6:.0f}" for seconds in (known["wake"], split["gap"], known["rest"])]
        rows.append([str(number), f"{warm * 1e6:.0f}", visits, cvs, *rest, f"{known['uneven']:.1%}"])
    return rows


def _row(run: Run) -> list[str]:
    cells = [str(run["round"]), f"{run['load']:g}", f"{run['rate']:.0f}", f"{run['busy']:.1%}"]
    cells += [f"{run['sleeps']:.2f}", f"{run['cost'] * 1e6:.0f}", f"{run['evidence']['uneven']:.1%}"]
    cells += [f"{run['measured'][each] * 1000:.2f}" for each in PERCENTILES]
    cells += [f"{error(run, name, each):+.1%}" for name in PREDICTIONS for each in PERCENTILES]
    return [*cells, "; ".join(run["void"])]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in [columns, ["---"] * len(columns), *rows]]
    return "\n".join(lines)

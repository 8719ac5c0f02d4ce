"""kvplan's predictions beside measured runs of the real service: docs/model-measured.md and build/model/report.json.

Two beds (bench/truth/beds.py): a pod whose steps are paced, and the pod as it is. What makes a run valid was written
down before any was made, and is judged by the kernel's counters and the generator's, never by latencies. Void runs are
published, too, and say why. Rounds are independent of each other: each starts a fresh pod, measures what a read costs
it, and has one run at each load, in mixed order. A run that is in the report with a result is not made again; what is
predicted for it is computed anew.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from subprocess import SubprocessError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.truth import pages
from bench.truth.beds import BEDS
from bench.truth.calibration import Costs, Shape, costs, shape, system
from bench.truth.drive import WINDOW_S, Sent, send
from bench.truth.machine import BenchError, Pod

from kvplan.model import predict
from kvplan.simulate import run as simulate
from kvplan.system import System

MAX_WAITED = 0.005  # of the time that the pod's event loop was ready to run and had no core (/proc/PID/schedstat)
MAX_SLIP_MS = 1.0  # p99 of the generator
MAX_OTHERS = 0.05  # of the pod's core used by other programs (/proc/stat), in the calibration and in the run
MAX_STOLEN = 0.005  # of the time, by the host, of either core (/proc/stat)
MAX_UNEVEN = 0.05  # CV of the CPU of a read from window to window; in an even machine it is half of that, by chance
MAX_RATE_OFF = 0.03  # of the intended rate
RULES = (
    f"the pod waited for its core at most {MAX_WAITED:.1%} of the time (run-queue wait, /proc/PID/schedstat)",
    f"the generator's slip has a p99 of at most {MAX_SLIP_MS:g} ms",
    f"other programs used at most {MAX_OTHERS:.0%} of the pod's core, in the round's calibration and in the run",
    f"the host has stolen at most {MAX_STOLEN:.1%} of the time of either core (/proc/stat)",
    f"a read's CPU, by windows of {WINDOW_S:g} s, has a CV of at most {MAX_UNEVEN:.0%}, in calibration and run",
    f"the rate is within {MAX_RATE_OFF:.0%} of the intended one",
    "no request has failed or was dropped",
)
BARS = {0.5: 0.15, 0.7: 0.15, 0.85: 0.25}  # load -> mean |p95 error|
ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "model"
REPORT, PAGE = BUILD / "report.json", ROOT / "docs" / "model-measured.md"
SHORT_REPORT, SHORT_PAGE = BUILD / "short.json", BUILD / "short.md"
_PLAYED = 1_000_000  # requests of a simulation


def main() -> int:
    options = _options()
    report, page = (SHORT_REPORT, SHORT_PAGE) if options.short else (REPORT, PAGE)
    runs = [] if options.anew or options.short else pages.load_runs(report)
    for run in runs:
        run["predicted"] = _predictions(Costs.of(run["costs"]), run)
    try:
        with tempfile.TemporaryDirectory(prefix="kv-model-") as folder:
            for run in _new_runs(runs, Path(folder), options):
                runs.append(run)
                pages.save(report, runs, RULES)
                page.write_text(pages.page(runs, RULES, BARS))
                print(pages.line(run), flush=True)
    except KeyboardInterrupt:
        print("stopped; what was measured is kept")
    except BenchError as error:
        print(f"bench/model: {error}", file=sys.stderr)
        return 1
    for name, bed in BEDS.items():
        print(bed.title)
        for row in (pages.VERDICT_COLUMNS, *pages.verdicts([run for run in runs if run["bed"] == name], BARS)):
            print("  ".join(f"{cell:>26}" if index > 2 else f"{cell:>5}" for index, cell in enumerate(row)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="kvplan's predictions beside measured runs: 3 minutes a round")
    parser.add_argument("--bed", choices=[*BEDS, "both"], default="both", help="which pod (default: both, paced first)")
    defaults = ", ".join(f"{bed.rounds} of {name}" for name, bed in BEDS.items())
    parser.add_argument("--rounds", type=int, help=f"of one run at each load (default: {defaults}: 27 + 7 minutes)")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each run (default: 40)")
    parser.add_argument(
        "--short", action="store_true", help="one round of short runs, to see that all works: 5 minutes"
    )
    parser.add_argument("--anew", action="store_true", help="forget the runs that are in the report")
    options = parser.parse_args()
    options.beds = [*BEDS] if options.bed == "both" else [options.bed]
    options.calibrating = 4.0 if options.short else 10.0
    if options.short:
        options.rounds, options.seconds = 1, 12.0
    return options


def _new_runs(runs: list[pages.Run], folder: Path, options: argparse.Namespace) -> Iterator[pages.Run]:
    for name in options.beds:
        rounds = range(1, (options.rounds or BEDS[name].rounds) + 1)
        missing = {number: loads for number in rounds if (loads := _missing(runs, name, number))}
        if not missing:
            print(f"{name}: all runs are in the report; --anew forgets them, --rounds makes more")
            continue
        split = shape(BEDS[name], folder, options.calibrating)
        print(f"{name}: a read's visits are {pages.shares(split)} of its CPU, the cache takes {split.gap * 1e6:.0f} µs")
        for number, loads in missing.items():
            for run in _round(number, loads, name, folder, split, options):
                yield {"bed": name, "round": number, **run}


def _missing(runs: list[pages.Run], bed: str, number: int) -> list[float]:
    """In an order of the round's own."""
    made = [run["load"] for run in runs if (run["bed"], run["round"]) == (bed, number)]
    loads = [load for load in BARS if load not in made]
    random.Random(number).shuffle(loads)
    return loads


def _round(
    number: int, loads: list[float], bed: str, folder: Path, split: Shape, options: argparse.Namespace
) -> Iterator[pages.Run]:
    """A run for each load, whatever happens."""
    try:
        with BEDS[bed].pod(folder) as pod:
            known = costs(pod, split, options.calibrating)
            print(
                f"round {number}: a read costs {known.warm * 1e6:.0f} µs, {known.idle * 1e6:.0f} at low load; "
                f"a waking-up {known.wake * 1e6:.0f}; {known.rest * 1e6:.0f} µs are the client's",
                flush=True,
            )
            while loads:
                load = loads.pop(0)
                yield _run(load, pod, known, seconds=options.seconds, seed=1000 * number + round(100 * load))
    except (BenchError, OSError, SubprocessError, ValueError) as error:
        for load in loads:
            yield {"load": load, "void": [f"the round failed: {error}"]}


def _run(load: float, pod: Pod, known: Costs, *, seconds: float, seed: int) -> pages.Run:
    rate = load * known.capacity
    run: pages.Run = {"load": load, "intended": rate}
    try:
        sent = send(pod, rate=rate, seconds=seconds, seed=seed)
    except (BenchError, OSError, SubprocessError, ValueError) as error:
        return run | {"void": [f"it failed: {error}"]}
    run |= {
        "void": void(sent, rate, known),
        "rate": sent.rate,
        "busy": sent.evidence.busy,
        "cost": sent.cost,
        "sleeps": sent.sleeps,
        "measured": {name: sent.latency_s(name) for name in ("mean", *pages.PERCENTILES)},
        "evidence": asdict(sent.evidence) | {"slip_p99_ms": sent.figures["slip"]["p99_ms"]},
        "costs": asdict(known),
    }
    return run | {"predicted": _predictions(known, run)}


def void(sent: Sent, rate: float, known: Costs) -> list[str]:
    """Why the run does not count; nothing: it does."""
    figures, seen = sent.figures, sent.evidence
    slip_ms = figures["slip"]["p99_ms"]
    checks = (
        (seen.waited > MAX_WAITED, f"the pod waited for its core {seen.waited:.1%} of the time"),
        (seen.others > MAX_OTHERS, f"other programs used {seen.others:.0%} of the pod's core"),
        (known.others > MAX_OTHERS, f"other programs used {known.others:.0%} of it in the calibration"),
        (slip_ms > MAX_SLIP_MS, f"slip p99 {slip_ms:.2f} ms"),
        (seen.stolen > MAX_STOLEN, f"{seen.stolen:.1%} stolen by the host"),
        (seen.uneven > MAX_UNEVEN, f"a read's CPU varied by {seen.uneven:.1%}"),
        (known.uneven > MAX_UNEVEN, f"a read's CPU varied by {known.uneven:.1%} in the calibration"),
        (abs(sent.rate / rate - 1) > MAX_RATE_OFF, f"{sent.rate:.0f} requests/s instead of {rate:.0f}"),
        (figures["failed"] or figures["dropped"], f"{figures['failed']} failed, {figures['dropped']} dropped"),
    )
    return [why for is_so, why in checks if is_so]


def _predictions(known: Costs, run: pages.Run) -> dict[str, dict[str, float]]:
    told = system(known, run["intended"])
    own = system(known.of_run(run["cost"], run["sleeps"]), run["rate"])
    return {
        "kvplan": _predicted(told),
        "own": _predicted(own),
        "simulated": _simulated(told),
    }


def _predicted(told: System) -> dict[str, float]:
    quantiles = predict(told).latency.quantiles
    return {name: float(quantiles[float(name[1:])]) for name in pages.PERCENTILES}


def _simulated(told: System) -> dict[str, float]:
    played = simulate(told, requests=_PLAYED, seed=1)
    return {name: played.quantile(float(name[1:])) for name in pages.PERCENTILES}


if __name__ == "__main__":
    sys.exit(main())

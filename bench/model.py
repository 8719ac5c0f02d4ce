"""kvplan's predictions beside measured runs of the real service: docs/model-measured.md and build/model/report.json.

What makes a run valid was written down before any was made, and is judged by the kernel's counters and the
generator's, never by latencies. Void runs are published, too, and say why. Rounds are independent of each other: each
starts a fresh pod, measures what a read costs it, and has one run at each load, in mixed order. A run that is in the
report with a result is not made again; what is predicted for it is computed anew.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from subprocess import SubprocessError

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.truth import pages
from bench.truth.calibration import Costs, Shape, costs, pauses, shape, system
from bench.truth.drive import Sent, send
from bench.truth.machine import BenchError, Pod, service
from bench.truth.turns import Step, latencies

from kvplan.laws import LogNormal
from kvplan.model import predict

MAX_WAITED = 0.005  # of the time that the pod's event loop was ready to run and had no core (/proc/PID/schedstat)
MAX_SLIP_MS = 1.0  # p99 of the generator
MAX_OTHERS = 0.05  # of the pod's core used by other programs (/proc/stat), in the calibration and in the run
MAX_STOLEN = 0.005  # of the time, by the host, of either core (/proc/stat)
MAX_RATE_OFF = 0.03  # of the intended rate
RULES = (
    f"the pod waited for its core at most {MAX_WAITED:.1%} of the time (run-queue wait, /proc/PID/schedstat)",
    f"the generator's slip has a p99 of at most {MAX_SLIP_MS:g} ms",
    f"other programs used at most {MAX_OTHERS:.0%} of the pod's core, in the round's calibration and in the run",
    f"the host has stolen at most {MAX_STOLEN:.1%} of the time of either core (/proc/stat)",
    f"the rate is within {MAX_RATE_OFF:.0%} of the intended one",
    "no request has failed or was dropped",
)
BARS = {0.5: 0.15, 0.7: 0.15, 0.85: 0.25}  # load -> mean |p95 error|
ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "model"
REPORT, PAGE = BUILD / "report.json", ROOT / "docs" / "model-measured.md"
SHORT_REPORT, SHORT_PAGE = BUILD / "short.json", BUILD / "short.md"
_PLAYED = 1_000_000  # requests of the event loop that is played


def main() -> int:
    options = _options()
    report, page = (SHORT_REPORT, SHORT_PAGE) if options.short else (REPORT, PAGE)
    runs = [] if options.anew or options.short else pages.load_runs(report)
    for run in runs:
        run["predicted"] = _predictions(Costs.of(run["costs"]), run)
    rounds, seconds, calibrating = (1, 12.0, 4.0) if options.short else (options.rounds, options.seconds, 6.0)
    try:
        with tempfile.TemporaryDirectory(prefix="kv-model-") as folder:
            for run in _new_runs(runs, Path(folder), rounds, seconds, calibrating):
                runs.append(run)
                pages.save(report, runs, RULES)
                page.write_text(pages.page(runs, RULES, BARS))
                print(pages.line(run), flush=True)
    except KeyboardInterrupt:
        print("stopped; what was measured is kept")
    except BenchError as error:
        print(f"bench/model: {error}", file=sys.stderr)
        return 1
    for row in (pages.VERDICT_COLUMNS, *pages.verdicts(runs, BARS)):
        print("  ".join(f"{cell:>26}" if index > 2 else f"{cell:>5}" for index, cell in enumerate(row)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="kvplan's predictions beside measured runs; about 3 minutes a round")
    parser.add_argument("--rounds", type=int, default=8, help="of one run at each load (default: 8, about 25 minutes)")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each run (default: 40)")
    parser.add_argument(
        "--short", action="store_true", help="one round of short runs, to see that all works: 2 minutes"
    )
    parser.add_argument("--anew", action="store_true", help="forget the runs that are in the report")
    return parser.parse_args()


def _new_runs(
    runs: list[pages.Run], folder: Path, rounds: int, seconds: float, calibrating: float
) -> Iterator[pages.Run]:
    missing = {number: _missing(runs, number) for number in range(1, rounds + 1)}
    if not any(missing.values()):
        print("all runs are in the report; --anew forgets them, --rounds makes more")
        return
    split = shape(folder, calibrating)
    print(f"a read's visits: {_percent(split.shares)} of its CPU, the cache {split.gap * 1e6:.0f} µs")
    for number, loads in missing.items():
        if loads:
            yield from _round(number, loads, folder, split, seconds, calibrating)


def _missing(runs: list[pages.Run], number: int) -> list[float]:
    """In an order of the round's own."""
    loads = [load for load in BARS if not any((run["round"], run["load"]) == (number, load) for run in runs)]
    random.Random(number).shuffle(loads)
    return loads


def _round(
    number: int, loads: list[float], folder: Path, split: Shape, seconds: float, calibrating: float
) -> Iterator[pages.Run]:
    """A run for each load, whatever happens."""
    try:
        with service(folder) as pod:
            known = costs(pod, split, calibrating)
            print(
                f"round {number}: a read costs {known.warm * 1e6:.0f} µs, {known.idle * 1e6:.0f} at low load; "
                f"a waking-up {known.wake * 1e6:.0f}; {known.rest * 1e6:.0f} µs are the client's",
                flush=True,
            )
            while loads:
                yield _run(number, loads.pop(0), pod, known, seconds)
    except (BenchError, OSError, SubprocessError, ValueError) as error:
        for load in loads:
            yield {"round": number, "load": load, "void": [f"the round failed: {error}"]}


def _run(number: int, load: float, pod: Pod, known: Costs, seconds: float) -> pages.Run:
    rate = load * known.capacity
    run: pages.Run = {"round": number, "load": load, "intended": rate}
    try:
        sent = send(pod, rate=rate, seconds=seconds, seed=1000 * number + round(100 * load))
    except (BenchError, OSError, SubprocessError, ValueError) as error:
        return run | {"void": [f"it failed: {error}"]}
    run |= {
        "void": void(sent, rate, known.others),
        "rate": sent.rate,
        "busy": sent.evidence.busy,
        "cost": sent.cost,
        "sleeps": sent.sleeps,
        "measured": {name: sent.latency_s(name) for name in ("mean", *pages.PERCENTILES)},
        "evidence": asdict(sent.evidence) | {"slip_p99_ms": sent.figures["slip"]["p99_ms"]},
        "realtime": pod.is_realtime(),
        "costs": asdict(known),
    }
    return run | {"predicted": _predictions(known, run)}


def void(sent: Sent, rate: float, others: float) -> list[str]:
    """Why the run does not count; nothing: it does. `others`: of the calibration."""
    figures, seen = sent.figures, sent.evidence
    slip_ms = figures["slip"]["p99_ms"]
    checks = (
        (seen.waited > MAX_WAITED, f"the pod waited for its core {seen.waited:.1%} of the time"),
        (seen.others > MAX_OTHERS, f"other programs used {seen.others:.0%} of the pod's core"),
        (others > MAX_OTHERS, f"and {others:.0%} of it in the calibration"),
        (slip_ms > MAX_SLIP_MS, f"slip p99 {slip_ms:.2f} ms"),
        (seen.stolen > MAX_STOLEN, f"{seen.stolen:.1%} stolen by the host"),
        (abs(sent.rate / rate - 1) > MAX_RATE_OFF, f"{sent.rate:.0f} requests/s instead of {rate:.0f}"),
        (figures["failed"] or figures["dropped"], f"{figures['failed']} failed, {figures['dropped']} dropped"),
    )
    return [why for is_so, why in checks if is_so]


def _predictions(known: Costs, run: pages.Run) -> dict[str, dict[str, float]]:
    rate, own = run["intended"], known.of_run(run["cost"], run["sleeps"])
    plain, by_own = _predicted(known, rate), _predicted(own, run["rate"])
    in_turns, in_order = _played(known, rate, in_turns=True), _played(known, rate, in_turns=False)
    own_turns, own_order = _played(own, run["rate"], in_turns=True), _played(own, run["rate"], in_turns=False)
    return {
        "kvplan": plain,
        "turns": {name: plain[name] + in_turns[name] - in_order[name] for name in plain},
        "own": {name: by_own[name] + own_turns[name] - own_order[name] for name in plain},
        "simulated": {name: seconds + pauses(known) for name, seconds in in_turns.items()},
    }


def _predicted(known: Costs, rate: float) -> dict[str, float]:
    quantiles = predict(system(known, rate)).latency.quantiles
    return {name: float(quantiles[float(name[1:])]) for name in pages.PERCENTILES}


def _played(known: Costs, rate: float, *, in_turns: bool) -> dict[str, float]:
    """By the event loop alone."""
    shape = known.shape
    works = [LogNormal(known.warm * share, cv) for share, cv in zip(shape.shares, shape.cvs, strict=True)]
    steps = [Step(works[0]), Step(works[1], after=shape.gap), Step(works[2])]
    found = latencies(steps, rate=rate, requests=_PLAYED, seed=1, in_turns=in_turns)
    return {name: float(np.quantile(found, float(name[1:]) / 100)) for name in pages.PERCENTILES}


def _percent(shares: tuple[float, ...]) -> str:
    return " + ".join(f"{share:.0%}" for share in shares)


if __name__ == "__main__":
    sys.exit(main())

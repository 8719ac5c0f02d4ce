"""The latency model against simulation on random feed-forward paths that it was not fitted to, beside what is usually
done: M/M/c at every station, convolved. Prints a Markdown table; about four minutes on one core.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from model_paths import BUSY, paths, simulated_p95

from kvplan.model import predict

METHODS = ("M/M/c, convolved", "kvplan")
SEED = 31  # 1 and 2 are those of the paths that constants were fitted to
PATHS = 60


def main() -> None:
    rows: dict[bool, list[tuple[float, ...]]] = {False: [], True: []}
    for done, system in enumerate(paths(SEED, PATHS), start=1):
        is_busy = max(system.loads().values()) > BUSY
        simulated, margin = simulated_p95(system, 4_000_000 if is_busy else 1_000_000)
        prediction = predict(system)
        found = (prediction.closed_forms["p95 of independent M/M/c"], prediction.latency.quantiles[95])
        rows[is_busy].append((*(abs(each / simulated - 1) for each in found), margin / simulated))
        print(f"… {done} of {PATHS} paths", file=sys.stderr, flush=True)
    print(f"Error of the predicted p95, {PATHS} paths of seed {SEED}:\n")
    print("| highest load | paths | method | median | 95th percentile | worst | simulated to (median) |")
    print("|---|---|---|---|---|---|---|")
    for is_busy, errors in rows.items():
        load, doubt = ".85 to .95" if is_busy else ".5 to .85", np.median([each[-1] for each in errors])
        for at, method in enumerate(METHODS):
            column = [each[at] for each in errors]
            middle, most = np.quantile(column, [0.5, 0.95])
            print(
                f"| {load} | {len(column)} | {method} | {middle:.1%} | {most:.1%} | {max(column):.1%} | {doubt:.1%} |"
            )


if __name__ == "__main__":
    main()

"""The model against simulation, on paths that it was not fitted to (seeds 1 and 2 are those it was)."""

from typing import Any

import numpy as np
import pytest
from model_paths import BUSY, paths, simulated_p95

from kvplan.model import COARSE, predict

SEED = 21


@pytest.mark.counted
def test_on_random_paths_the_p95_is_close_to_the_simulated_one(counted: Any) -> None:
    errors: dict[bool, list[float]] = {False: [], True: []}
    doubts = []
    for system in counted.told(list(paths(SEED, counted(6, 60))), "paths"):
        is_busy = max(system.loads().values()) > BUSY
        simulated, margin = simulated_p95(system, counted(500_000, 4_000_000 if is_busy else 1_000_000))
        errors[is_busy].append(abs(predict(system, resolution=COARSE).latency.quantiles[95] / simulated - 1))
        doubts.append(margin / simulated)
    for is_busy, found in errors.items():
        median, most = float(np.median(found)), float(np.quantile(found, 0.95))
        counted.tell(
            f"{len(found)} paths with loads {'to .95' if is_busy else 'to .85'}: |p95 error| median {median:.2%}, "
            f"95th percentile {most:.2%}, worst {max(found):.2%}; simulated to {np.median(doubts):.2%}"
        )
        assert median <= 0.02
        assert most <= (0.10 if is_busy else 0.05)

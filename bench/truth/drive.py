"""Sends a load with `kvctl load`, as a user would, from the other core, and watches the pod meanwhile."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.truth.machine import GENERATOR_PRIORITY, BenchError, Evidence, Pod, evidence, pinned

WARM_UP_S = 3.0
_KVCTL = str(Path(sys.executable).with_name("kvctl"))
_SPARE_S = 60.0  # for the first writes and the last answers
_MARGIN_S = 0.3  # between the load's beginning and end and what is watched
WINDOW_S = 0.5  # from one look at the pod to the next


@dataclass(frozen=True)
class Sent:
    """`figures`: the region's part of the report of `kvctl load`. `cost`: CPU seconds of the event loop a request."""

    figures: dict[str, Any]
    evidence: Evidence

    @property
    def rate(self) -> float:
        return float(self.figures["rate"])

    @property
    def cost(self) -> float:
        return self.evidence.busy / self.rate

    @property
    def sleeps(self) -> float:
        """Of the event loop, a request."""
        return self.evidence.sleeps / self.rate

    def latency_s(self, name: str) -> float:
        """`mean`, `p50`, `p95`, … of the reads."""
        return float(self.figures["reads"][f"{name}_ms"]) / 1000


def send(pod: Pod, *, rate: float, seconds: float, seed: int, options: tuple[str, ...] = ()) -> Sent:
    """Reads of keys that are all cached, open loop. Raises BenchError."""
    command = [_KVCTL, "load", "--url", pod.url, "--rate", f"{rate:.2f}", "--duration", f"{round(seconds)}s"]
    command += ["--warm-up", f"{WARM_UP_S:g}s", "--reads", "1", "--value-bytes", "2048", "--max-in-flight", "800"]
    command += ["--seed", str(seed), "--output", "json", *options]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=pinned(pod.cores.rest, GENERATOR_PRIORITY),
    ) as process:
        try:
            assert process.stderr
            said = "it said nothing"
            for said in process.stderr:
                if said.startswith("sending"):
                    break
            else:
                raise BenchError(f"kvctl load did not begin: {said.strip()}")
            time.sleep(WARM_UP_S + _MARGIN_S)
            readings = [pod.read()]
            for number in range(1, int((seconds - 2 * _MARGIN_S) / WINDOW_S) + 1):
                time.sleep(max(readings[0].at + number * WINDOW_S - time.monotonic(), 0.0))
                readings.append(pod.read())
            out, _ = process.communicate(timeout=_SPARE_S)
        finally:
            process.kill()
    report = json.loads(out)
    return Sent(next(iter(report["regions"].values())), evidence(readings))

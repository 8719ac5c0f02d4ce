"""The pods that are measured: with paced steps, and as it is."""

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.truth.machine import Pod, service

_ROOT = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True)
class Bed:
    """`rounds`: by default. `pace`: mean (s) and CV of the lognormal law that each visit of a read is drawn out to;
    none: the pod as it is."""

    title: str
    about: str
    rounds: int
    pace: tuple[tuple[float, float], ...] = ()

    def pod(self, folder: Path, steps: Path | None = None) -> AbstractContextManager[Pod]:
        """`steps`: where the pod writes how long its steps have taken."""
        paced = {"KV_STEPS_PACE": json.dumps(self.pace)} if self.pace else {}
        timed = {"KV_STEPS_FILE": str(steps)} if steps else {}
        entry = "bench.truth.steps" if paced or timed else "kvservice.main"
        return service(folder, entry, PYTHONPATH=_ROOT, **paced, **timed)


_PACE = ((0.002, 0.4), (0.00024, 0.4), (0.0016, 0.4))  # split as the pod's own work is, and well above it

BEDS = {
    "paced": Bed(
        title="The pod with paced steps",
        about=(
            "A virtual core does not work at one speed: it shares its hardware with neighbours, the same read costs "
            "more at one moment than at the next, and a model that is told one cost cannot be judged by that. So "
            "here each of a read's three visits to the event loop spins until a time drawn from a law given "
            "beforehand is over. The service's work is within that time, and what the machine makes of it is, too. "
            "It shows whether the queueing is as predicted: real sockets, a real cache, uvloop's turns, three visits "
            "that wait for one another. It does not show whether a read's cost on a machine of changing speed can be "
            "told beforehand; for that there is the pod as it is."
        ),
        rounds=8,
        pace=_PACE,
    ),
    "plain": Bed(
        title="The pod as it is",
        about="What users run. It is as good a test as the machine is even, which the rules judge.",
        rounds=2,
    ),
}

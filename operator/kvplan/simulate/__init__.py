"""What a system's latency is, played event by event: the truth that `model` is held against."""

from kvplan.simulate.findings import Run
from kvplan.simulate.simulator import run

__all__ = ["Run", "run"]

"""From a workload to regions, sizes, a latency and a bill."""

from kvplan.plan.planning import make_plan
from kvplan.plan.reading import read_inputs

__all__ = ["make_plan", "read_inputs"]

"""Headroom for an autoscaler that is late: load grows on between its decision and the new pod's first answer."""

import math

from kvplan.plan.inputs import Autoscaling
from kvplan.plan.outcome import Number


def headroom(pods: int, autoscaling: Autoscaling) -> Number:
    """Pods to have beside the `pods` that the present load needs: load that grows by the part x a minute is
    (1 + x)^(y / 60) times as much when a pod that needs y seconds begins to serve."""
    growth, ready = autoscaling.growth_per_minute, autoscaling.ready_after
    more = math.ceil(pods * ((1 + growth) ** (ready / 60) - 1) - 1e-9)
    formula = f"{pods} pods x ((1 + {growth:g} a minute) ^ ({ready:g} s / 60 s) - 1)"
    return Number(more, "pods", more, more, formula)

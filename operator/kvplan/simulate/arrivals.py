"""When requests arrive, and of which class they are."""

import numpy as np

from kvplan.laws import Deterministic, Floats, Gamma, Law
from kvplan.system import System


def between(system: System) -> Law:
    """The law of the times between arrivals."""
    return Gamma(1 / system.rate, system.scv**0.5) if system.scv else Deterministic(1 / system.rate)


def class_ends(system: System) -> Floats:
    """Where each class's part of [0, 1) ends; the last with any share takes what rounding leaves."""
    shares = np.array([each.share for each in system.classes])
    ends = np.cumsum(shares)
    ends[np.flatnonzero(shares)[-1] :] = 1.0
    return ends

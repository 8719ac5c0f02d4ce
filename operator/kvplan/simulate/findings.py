"""What a run has shown."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from kvplan.errors import InputError
from kvplan.laws import Floats
from kvplan.system import System

_BATCHES = 30


@dataclass(frozen=True, eq=False)
class Run:
    """The requests after the warm-up, in order of arrival. Percentiles are in (0, 100), times in seconds.

    A request whose client gave up has a latency of inf: quantiles count it as slower than any other, the mean leaves it
    out.
    """

    latencies: Floats
    classes: NDArray[np.int64]  # index into `names` of each
    names: tuple[str, ...]
    utilisation: Mapping[str, float]  # station -> mean share of its servers that were busy
    waits: Mapping[str, float]  # station -> mean wait of a visit's copy, in its pool's queue
    apart: tuple[int, ...] = ()  # classes whose latency is not part of the whole's

    def quantile(self, percentile: float, class_name: str | None = None) -> float:
        return _quantile(self.of(class_name), percentile)

    def interval(self, percentile: float | None = None, class_name: str | None = None) -> tuple[float, float]:
        """95 % confidence interval of the quantile, or without a percentile of the mean: Student's t over 30 batches
        of successive requests (A. M. Law, "Simulation Modeling and Analysis", 2015, section 9.5.3). It needs batches
        that are long beside the system's busy periods and that hold some ten requests above the percentile each. Open
        above, if in one of them the quantile is a request whose client gave up.
        """
        latencies = self.of(class_name)
        if latencies.size < 2 * _BATCHES:
            raise InputError(f"{latencies.size} requests make no confidence interval; expected {2 * _BATCHES} or more")
        batches = np.array_split(latencies, _BATCHES)
        found = np.array([_mean(each) if percentile is None else _quantile(each, percentile) for each in batches])
        if not np.isfinite(found).all():
            return float(found.min()), np.inf
        middle = _mean(latencies) if percentile is None else _quantile(latencies, percentile)
        margin = float(special.stdtrit(_BATCHES - 1, 0.975) * found.std(ddof=1) / _BATCHES**0.5)
        return middle - margin, middle + margin

    @property
    def mean(self) -> float:
        """Of the requests that were answered."""
        return _mean(self.of(None))

    @property
    def gave_up(self) -> float:
        """Share of the requests whose client had no answer in time on any try."""
        return float(np.isinf(self.of(None)).mean())

    def within(self, threshold: float, class_name: str | None = None) -> float:
        """Share of the requests answered within the threshold."""
        return float((self.of(class_name) <= threshold).mean())

    def of(self, class_name: str | None) -> Floats:
        """The latencies of one class, or of all that are counted. Raises InputError for a class that there is not, or
        no request of."""
        if class_name is None:
            return self.latencies[~np.isin(self.classes, self.apart)] if self.apart else self.latencies
        if class_name not in self.names:
            raise InputError(f"there is no class {class_name}; expected one of {', '.join(self.names)}")
        found: Floats = self.latencies[self.classes == self.names.index(class_name)]
        if not found.size:
            raise InputError(f"no request of class {class_name} came in this run; simulate more requests")
        return found


def apart(system: System) -> tuple[int, ...]:
    return tuple(number for number, each in enumerate(system.classes) if not each.counted)


def _quantile(latencies: Floats, percentile: float) -> float:
    return float(np.quantile(latencies, percentile / 100, method="inverted_cdf"))


def _mean(latencies: Floats) -> float:
    answered = latencies[np.isfinite(latencies)]
    return float(answered.mean()) if answered.size else np.inf

"""How long one service, or one hop, takes: laws of a time in seconds, known by their mean and their coefficient of
variation (CV, standard deviation over mean), or measured.

A law knows its distribution function and can be drawn from; what is computed with laws is in `model`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from kvplan.errors import InputError

Floats = NDArray[np.float64]


class Law(ABC):
    """A law of a non-negative time. `scv` is the squared CV."""

    @property
    @abstractmethod
    def mean(self) -> float: ...

    @property
    @abstractmethod
    def scv(self) -> float: ...

    @abstractmethod
    def cdf(self, times: Floats) -> Floats:
        """P(time <= t), of any shape; 0 for negative t."""

    @abstractmethod
    def quantile(self, shares: Floats) -> Floats:
        """The inverse of `cdf`, for shares in [0, 1)."""

    @abstractmethod
    def moments_below(self, times: Floats) -> tuple[Floats, Floats, Floats]:
        """P(time <= t), and E[time] and E[time squared] over these times alone: of times that are longer, 0 counts."""

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """The law of `factor` times the time."""

    def draw(self, random: np.random.Generator, size: int) -> Floats:
        return self.quantile(random.random(size))


@dataclass(frozen=True)
class Deterministic(Law):
    """Always `value`."""

    value: float

    def __post_init__(self) -> None:
        _not_below_zero("value", self.value)

    @property
    def mean(self) -> float:
        return self.value

    @property
    def scv(self) -> float:
        return 0.0

    def cdf(self, times: Floats) -> Floats:
        return (times >= self.value).astype(float)

    def quantile(self, shares: Floats) -> Floats:
        return np.full_like(shares, self.value)

    def moments_below(self, times: Floats) -> tuple[Floats, Floats, Floats]:
        share = self.cdf(times)
        return share, self.value * share, self.value**2 * share

    def scaled(self, factor: float) -> "Deterministic":
        return Deterministic(self.value * factor)


@dataclass(frozen=True)
class _Shaped(Law):
    average: float
    cv: float

    def __post_init__(self) -> None:
        _above_zero("mean", self.average)
        _above_zero("cv", self.cv)

    @property
    def mean(self) -> float:
        return self.average

    @property
    def scv(self) -> float:
        return self.cv**2

    def scaled(self, factor: float) -> Self:
        return replace(self, average=self.average * factor)


@dataclass(frozen=True)
class LogNormal(_Shaped):
    """`LogNormal(mean, cv)`: the usual shape of service times in computers."""

    def cdf(self, times: Floats) -> Floats:
        return _floats(special.ndtr(self._normal(times)))

    def moments_below(self, times: Floats) -> tuple[Floats, Floats, Floats]:
        normal, second = self._normal(times), self.mean**2 * (1 + self.scv)
        share, first = special.ndtr(normal), self.mean * special.ndtr(normal - self._sigma)
        return share, first, second * special.ndtr(normal - 2 * self._sigma)

    def quantile(self, shares: Floats) -> Floats:
        return _floats(np.exp(self._mu + self._sigma * special.ndtri(shares)))

    def draw(self, random: np.random.Generator, size: int) -> Floats:
        return random.lognormal(self._mu, self._sigma, size)  # faster than by the quantile

    def _normal(self, times: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            logs = np.log(np.maximum(times, 0.0))
        return _floats((logs - self._mu) / self._sigma)

    @cached_property
    def _sigma(self) -> float:
        return math.sqrt(math.log1p(self.scv))

    @cached_property
    def _mu(self) -> float:
        return math.log(self.mean) - self._sigma**2 / 2


@dataclass(frozen=True)
class Gamma(_Shaped):
    """`Gamma(mean, cv)`; with CV 1 the exponential law."""

    def cdf(self, times: Floats) -> Floats:
        return _floats(special.gammainc(1 / self.scv, np.maximum(times, 0.0) / (self.mean * self.scv)))

    def moments_below(self, times: Floats) -> tuple[Floats, Floats, Floats]:
        shape, scale = 1 / self.scv, self.mean * self.scv
        scaled = np.maximum(times, 0.0) / scale
        share = special.gammainc(shape, scaled)
        # P(a + 1, x) = P(a, x) - x^a e^-x / Gamma(a + 1)
        step = np.exp(special.xlogy(shape, scaled) - scaled - special.gammaln(shape + 1))
        first = share - step
        second = first - step * scaled / (shape + 1)
        return share, self.mean * first, self.mean**2 * (1 + self.scv) * second

    def quantile(self, shares: Floats) -> Floats:
        return _floats(special.gammaincinv(1 / self.scv, shares) * self.mean * self.scv)

    def draw(self, random: np.random.Generator, size: int) -> Floats:
        return random.gamma(1 / self.scv, self.mean * self.scv, size)  # far faster than by the quantile


@dataclass(frozen=True)
class Empirical(Law):
    """A measured histogram: `counts[i]` times lay between `edges[i]` and `edges[i + 1]`, and are taken as spread evenly
    in between. Edges rise strictly, from 0 or more; there is one more of them than counts."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.counts) + 1 or not self.counts:
            raise InputError(
                f"{len(self.counts)} counts and {len(self.edges)} edges; expected one more edge than counts"
            )
        if self.edges[0] < 0 or any(b <= a for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise InputError("the edges of a histogram must rise, from 0 or more")
        if any(not math.isfinite(count) or count < 0 for count in self.counts) or not sum(self.counts):
            raise InputError("the counts of a histogram must be finite, none below 0, and not all 0")

    @cached_property
    def mean(self) -> float:
        return float(self._shares @ (self._low + self._high) / 2)

    @cached_property
    def scv(self) -> float:
        second = float(self._shares @ (self._low**2 + self._low * self._high + self._high**2) / 3)
        return second / self.mean**2 - 1

    def cdf(self, times: Floats) -> Floats:
        return np.interp(times, self.edges, self._cumulated, left=0.0, right=1.0)

    def quantile(self, shares: Floats) -> Floats:
        return np.interp(shares, self._cumulated, self.edges)

    def moments_below(self, times: Floats) -> tuple[Floats, Floats, Floats]:
        edges = np.array(self.edges)
        bins = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(self.counts) - 1)
        low, end = edges[bins], np.clip(times, edges[bins], edges[bins + 1])
        density = self._shares / np.diff(edges)
        first, second = (
            np.concatenate([[0.0], np.cumsum(density * np.diff(edges**order) / order)])[bins]
            + density[bins] * (end**order - low**order) / order
            for order in (2, 3)
        )
        return self.cdf(times), first, second

    def scaled(self, factor: float) -> "Empirical":
        return Empirical(tuple(edge * factor for edge in self.edges), self.counts)

    @cached_property
    def _shares(self) -> Floats:
        counts = np.array(self.counts)
        return _floats(counts / counts.sum())

    @cached_property
    def _cumulated(self) -> Floats:
        return np.concatenate([[0.0], np.cumsum(self._shares)])

    @property
    def _low(self) -> Floats:
        return np.array(self.edges[:-1])

    @property
    def _high(self) -> Floats:
        return np.array(self.edges[1:])


def of_samples(times: Sequence[float] | Floats, bins: int = 200) -> Empirical:
    """The histogram of measured times (s), in bins that hold about as many each. Raises InputError without any."""
    values = np.sort(np.asarray(times, dtype=float))
    if not values.size or values[0] < 0 or not np.isfinite(values[-1]):
        raise InputError("no times, or times that are negative or not finite, make no law")
    edges = np.unique(np.quantile(values, np.linspace(0, 1, min(bins, values.size) + 1)))
    if edges.size == 1:
        edges = np.array([edges[0], edges[0] * (1 + 1e-9) + 1e-12])
    counts, _ = np.histogram(values, edges)
    return Empirical(tuple(edges.tolist()), tuple(counts.tolist()))


def _floats(values: Any) -> Floats:
    return np.asarray(values, dtype=float)


def _above_zero(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value:g}; expected a number above 0")


def _not_below_zero(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{name} is {value:g}; expected a number not below 0")


NOTHING = Deterministic(0.0)

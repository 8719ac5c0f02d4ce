"""Laws of times on a grid: how they are added, mixed, and raced against each other.

A `Mass` is the probability of each node of a `Grid`. A law is put on it cell by cell, the probability between two nodes
shared among both so that its mean stays: the mean of the whole is exact however coarse the grid. Sums are products
of Fourier transforms. These are damped (each value times e^(-DAMPING k/size) before the transform, undone after it),
so that what passes the end of the grid comes back at its beginning e^-DAMPING times smaller: the grid needs no
padding, and what lies behind its end does not blur what lies before (Schaller, Temnov 2008, "exponential tilting").
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from kvplan.laws import Floats, Law

FINE = 2**14  # nodes: to evaluate one system
COARSE = 2**10  # nodes: to evaluate hundreds of sampled ones
_DAMPING = 14.0
_NEVER = 1e-12  # a share of times that may be forgotten
_FAINT = 1e-9  # a share that rounding may blur

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Grid:
    """Nodes at 0, `step`, 2 `step`, … (s); `size` of them, a power of two."""

    step: float
    size: int

    @cached_property
    def nodes(self) -> Floats:
        return np.arange(self.size, dtype=float) * self.step

    @cached_property
    def borders(self) -> Floats:
        """Halfway between a node and the next: where the cumulated mass is the distribution function."""
        return (np.arange(self.size, dtype=float) + 0.5) * self.step

    @cached_property
    def damping(self) -> Floats:
        return np.asarray(np.exp(np.arange(self.size, dtype=float) * (-_DAMPING / self.size)))


def covering(time: float, size: int = FINE) -> Grid:
    """The grid of `size` nodes whose end is at `time` seconds."""
    return Grid(time / size, size)


class Mass:
    """A law on `grid`. `mean` is that of the whole law, what lies behind the grid's end included."""

    def __init__(
        self, grid: Grid, mean: float, *, values: Floats | None = None, transform: Complex | None = None
    ) -> None:
        """From the probabilities of the nodes, or from their (damped) transform: the other one follows when asked."""
        self.grid, self.mean = grid, mean
        if values is not None:
            self.values = values
        if transform is not None:
            self.transform = transform

    @cached_property
    def values(self) -> Floats:
        """(size,) probabilities of the nodes; they sum to less than 1 by what lies behind the end."""
        return np.fft.irfft(self.transform, self.grid.size) / self.grid.damping

    @cached_property
    def transform(self) -> Complex:
        return np.fft.rfft(self.values * self.grid.damping)

    @cached_property
    def cumulated(self) -> Floats:
        """(size,) P(time <= border)."""
        return np.cumsum(self.values)

    def kth(self, needed: int, copies: int) -> "Mass":
        """The time until `needed` of `copies` independent such times are over: the order statistic, of F and n = copies
        sum of C(n, i) F^i (1 - F)^(n - i) over i >= needed (David, Nagaraja 2003, eq. 2.1.3)."""
        if copies == 1:
            return self
        over, tail = np.clip(self.cumulated, 0.0, 1.0), np.zeros(self.grid.size)
        for i in range(needed):
            tail += math.comb(copies, i) * over**i * (1 - over) ** (copies - i)
        return _of_tail(self.grid, tail)

    def given(self, common: float, correlation: float) -> "Mass":
        """One of several such times that have something in common, `common` standard deviations above its mean: joined
        by a Gaussian copula."""
        place = special.ndtri(np.clip(self.cumulated, _NEVER, 1 - _NEVER))
        share = special.ndtr((place - math.sqrt(correlation) * common) / math.sqrt(1 - correlation))
        return _of_tail(self.grid, 1 - share)

    def or_after(self, delay: float, other: "Mass") -> "Mass":
        """The first to end of this and an independent `other` that begins `delay` seconds later: a hedge. Both are
        longer than t with the product of their tails at t and t - delay."""
        late = np.interp(self.grid.borders - delay, other.grid.borders, 1 - other.cumulated, left=1.0)
        return _of_tail(self.grid, np.clip((1 - self.cumulated) * late, 0.0, 1.0))

    def tried_again(self, timeout: float, retries: int) -> tuple["Mass", float]:
        """-> (time from the first try to the answer, of those who get one; the share of the others), if it is given up
        after `timeout` seconds and tried again, independently, up to `retries` times."""
        late = self.tail(timeout)
        never = late ** (retries + 1)
        if never > 1 - _FAINT:
            return self, 1.0
        number = np.minimum(np.floor(self.grid.borders / timeout), retries + 1)
        in_this = np.interp(self.grid.borders - number * timeout, self.grid.borders, 1 - self.cumulated, left=1.0)
        tail = np.where(number > retries, never, late**number * np.clip(in_this, late, 1.0))
        return _of_tail(self.grid, (tail - never) / (1 - never)), never

    def within(self, time: float) -> float:
        """P(it takes `time` seconds or less)."""
        if time >= self.grid.borders[-1]:
            beyond, decay = self._end
            return 1 - beyond * math.exp(-(time - self.grid.borders[-1]) / decay)
        return float(np.interp(time, self.grid.borders, self.cumulated, left=float(self.cumulated[0])))

    def tail(self, time: float) -> float:
        """P(it takes longer than `time` seconds)."""
        return 1 - self.within(time)

    def quantile(self, share: float) -> float:
        """The time within which `share` of all are, 0 <= share < 1."""
        if share > self.cumulated[-1]:
            beyond, decay = self._end
            return float(self.grid.borders[-1]) + (decay * math.log(beyond / (1 - share)) if beyond else 0.0)
        place = int(np.searchsorted(self.cumulated, share))
        low = float(self.cumulated[place - 1]) if place else 0.0
        high = float(self.cumulated[place])
        return self.grid.step * max(0.0, place - 0.5 + (share - low) / (high - low))

    @cached_property
    def _end(self) -> tuple[float, float]:
        """(probability behind the last border, seconds in which the tail there falls to 1/e)."""
        return _end_of(self.grid, 1 - self.cumulated)


def of_law(law: Law, grid: Grid) -> Mass:
    _, share, first, _ = _cells(law, grid)
    return Mass(grid, law.mean, values=_on_nodes(grid, share, first))


def remaining(laws: Sequence[tuple[float, Law]], grid: Grid) -> Mass:
    """What is left of a service that is under way at a random moment: the equilibrium law of a mixture of
    (weight, law) of mean above 0, with density (1 - F) / mean."""
    whole = sum(weight * law.mean for weight, law in laws)
    values = np.zeros(grid.size)
    for weight, law in laws:
        borders, share, first, second = _cells(law, grid)
        longer = borders * (1 - share)
        values += (weight / whole) * _on_nodes(grid, first + longer, (second + borders * longer) / 2)
    twice = sum(weight * law.mean**2 * (1 + law.scv) for weight, law in laws)
    return Mass(grid, twice / (2 * whole), values=values)


def mixture(parts: Iterable[tuple[float, Mass]]) -> Mass:
    """One of the parts, each with its weight as probability."""
    pairs = list(parts)
    grid = pairs[0][1].grid
    mean = sum(weight * mass.mean for weight, mass in pairs)
    if all("values" in vars(mass) for _, mass in pairs):
        return Mass(grid, mean, values=_total(weight * mass.values for weight, mass in pairs))
    return Mass(grid, mean, transform=_total(weight * mass.transform for weight, mass in pairs))


def in_a_row(masses: Sequence[Mass]) -> Mass:
    """One after the other, independent of each other."""
    if len(masses) == 1:
        return masses[0]
    product = masses[0].transform * masses[1].transform
    for mass in masses[2:]:
        product *= mass.transform
    return Mass(masses[0].grid, sum(mass.mean for mass in masses), transform=product)


@lru_cache(maxsize=32)  # a law is mostly asked for twice, as a service and as what remains of one
def _cells(law: Law, grid: Grid) -> tuple[Floats, Floats, Floats, Floats]:
    """The nodes up to which the law's probability has to be looked at, and its moments below them."""
    reach = float(law.quantile(np.array([1 - _NEVER]))[0])
    borders = np.arange(min(grid.size, math.ceil(reach / grid.step) + 1) + 1, dtype=float) * grid.step
    return borders, *law.moments_below(borders)


def _on_nodes(grid: Grid, share: Floats, first: Floats) -> Floats:
    """From P(X <= node) and E[X, X <= node]: the probability of each cell shared among its two nodes, mean kept."""
    inside = share[1:] - share[:-1]
    right = (first[1:] - first[:-1]) / grid.step - np.arange(inside.size) * inside
    values = np.zeros(grid.size + 1)
    values[: inside.size] = inside - right
    values[1 : inside.size + 1] += right
    values[0] += share[0]
    return values[: grid.size]


def _of_tail(grid: Grid, tail: Floats) -> Mass:
    """From P(X > border)."""
    beyond, decay = _end_of(grid, tail)
    mean = grid.step * float(tail[:-1].sum()) + beyond * (decay + grid.step / 2)
    return Mass(grid, mean, values=-np.diff(tail, prepend=1.0))


def _end_of(grid: Grid, tail: Floats) -> tuple[float, float]:
    last, before = float(tail[-1]), float(tail[-1 - grid.size // 8])
    if last < _FAINT or before <= last:
        return 0.0, grid.step
    return last, grid.step * (grid.size // 8) / math.log(before / last)


def _total(arrays: Iterable[Any]) -> Any:
    return sum(arrays, start=0)

"""What the requests of a load are like, drawn at random: when they come, which keys they name, how large values are.
Pure: all randomness is the caller's."""

import math
from array import array
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from random import Random

from kvctl.errors import UsageError

MAX_VALUE_BYTES = 16 * 2**20


class Arrivals(StrEnum):
    POISSON = "poisson"
    CONSTANT = "constant"
    DIURNAL = "diurnal"


def arrivals(kind: Arrivals, *, rate: float, peak: float, duration_s: float, random: Random) -> Iterator[float]:
    """Times in seconds from 0, in order, before `duration_s`; `rate` (1/s) is their mean.

    Diurnal: a Poisson process whose rate is that of a day squeezed into the duration, a cosine that is lowest in the
    beginning and `peak` in the middle; by thinning (Lewis and Shedler, 1979).
    """
    match kind:
        case Arrivals.CONSTANT:
            yield from (number / rate for number in range(math.ceil(rate * duration_s)))
        case Arrivals.POISSON:
            yield from _poisson(rate, duration_s, random)
        case Arrivals.DIURNAL:
            for at in _poisson(peak, duration_s, random):
                now = rate - (peak - rate) * math.cos(2 * math.pi * at / duration_s)
                if random.random() * peak < now:
                    yield at


def _poisson(rate: float, duration_s: float, random: Random) -> Iterator[float]:
    at = random.expovariate(rate)
    while at < duration_s:
        yield at
        at += random.expovariate(rate)


class Keys:
    """Numbers below `count`; number k with a weight of 1 / (k + 1)^skew (Zipf's law; 0: all alike)."""

    def __init__(self, count: int, skew: float) -> None:
        self._count = count
        self._cumulated = array("d", accumulate((k + 1.0) ** -skew for k in range(count))) if skew else None

    def draw(self, random: Random) -> int:
        if self._cumulated is None:
            return random.randrange(self._count)
        return bisect(self._cumulated, random.random() * self._cumulated[-1], hi=self._count - 1)


@dataclass(frozen=True)
class Sizes:
    """Bytes of values: evenly from `low` to `high`; or, with a `cv`, lognormal with mean `low`."""

    low: int
    high: int
    cv: float | None = None

    def draw(self, random: Random) -> int:
        if self.cv is None:
            return random.randint(self.low, self.high)
        variance = math.log1p(self.cv**2)
        drawn = random.lognormvariate(math.log(self.low) - variance / 2, math.sqrt(variance))
        return min(max(round(drawn), 1), self.high)


def parse_sizes(text: str) -> Sizes:
    """`2048`, `1024-5120` or `lognormal:2048:0.8` (mean and CV). Raises UsageError."""
    kind, *numbers = text.split(":")
    if kind == "lognormal" and len(numbers) == 2 and numbers[0].isdigit() and _is_number(numbers[1]):
        return Sizes(int(numbers[0]), MAX_VALUE_BYTES, float(numbers[1]))
    parts = text.split("-")
    if len(parts) > 2 or not all(part.isdigit() for part in parts):
        raise UsageError(
            f"--value-bytes {text!r} is not a size; write bytes, such as 2048, a range, such as 1024-5120, "
            "or lognormal:MEAN:CV, such as lognormal:2048:0.8"
        )
    return Sizes(int(parts[0]), int(parts[-1]))


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()

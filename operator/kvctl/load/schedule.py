"""When each request is meant to start, and what it is. Pure: time is seconds since the load began to count.

The load is open: requests start by this plan whether or not earlier ones have been answered, as those of many
independent clients do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from kvctl.errors import UsageError
from kvctl.load.laws import MAX_VALUE_BYTES, Arrivals, Keys, Sizes, arrivals

MAX_RATE = 5_000.0  # what one Python process can send at all, with room to spare
MAX_DURATION_S = 24 * 3600.0
MAX_KEYS = 1_000_000
SIZES = Sizes(1024, 5120)


@dataclass(frozen=True)
class Plan:
    """What each region gets. `rate` in requests per second, the mean; `peak` that of diurnal arrivals, by default 1.6
    times the mean. `warm_up_s` comes before the duration and is not counted. `skew`: Zipf's exponent of the keys."""

    rate: float = 50.0
    duration_s: float = 30.0
    warm_up_s: float = 0.0
    arrivals: Arrivals = Arrivals.POISSON
    peak: float | None = None
    reads: float = 0.95
    keys: int = 200
    skew: float = 0.0
    sizes: Sizes = SIZES
    max_in_flight: int = 100
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        _bound("rate", self.rate, 0.1, MAX_RATE, "requests per second and region")
        _bound("duration", self.duration_s, 0.1, MAX_DURATION_S, "seconds")
        _bound("warm-up", self.warm_up_s, 0, MAX_DURATION_S, "seconds")
        _bound("reads", self.reads, 0.0, 1.0, "the share of reads")
        _bound("keys", self.keys, 1, MAX_KEYS, "keys per region")
        _bound("skew", self.skew, 0.0, 3.0, "the exponent of Zipf's law; 0: all keys alike")
        _bound("max-in-flight", self.max_in_flight, 1, 10_000, "requests per region")
        _bound("timeout", self.timeout_s, 0.01, 300.0, "seconds")
        self._check_sizes()
        self._check_peak()

    def _check_sizes(self) -> None:
        _bound("value-bytes", self.sizes.low, 1, MAX_VALUE_BYTES, "bytes")
        _bound("value-bytes", self.sizes.high, self.sizes.low, MAX_VALUE_BYTES, "bytes, the largest not below")
        if self.sizes.cv is not None:
            _bound("value-bytes", self.sizes.cv, 0.01, 10, "the CV of sizes, standard deviation over mean")

    def _check_peak(self) -> None:
        if self.peak is None:
            return
        if self.arrivals is not Arrivals.DIURNAL:
            raise UsageError(f"--peak is for --arrivals diurnal; those of {self.arrivals} have none")
        _bound("peak", self.peak, self.rate, min(2 * self.rate, MAX_RATE), "from the mean, --rate, to twice of it")


class Operation(NamedTuple):
    """One request: `at` is when it is meant to start, negative while the load warms up; `size` is that of the value if
    it is a write, else 0."""

    at: float
    key: int
    size: int


def operations(plan: Plan, random: Random) -> Iterator[Operation]:
    """Every request of one region, in order of time; ends with the plan's duration."""
    keys = Keys(plan.keys, plan.skew)
    for at in _times(plan, random):
        is_read = random.random() < plan.reads
        yield Operation(at, keys.draw(random), 0 if is_read else plan.sizes.draw(random))


def _times(plan: Plan, random: Random) -> Iterator[float]:
    """A diurnal load warms up at the rate of its lowest hour."""
    peak = plan.peak or min(1.6 * plan.rate, MAX_RATE)
    is_diurnal = plan.arrivals is Arrivals.DIURNAL
    first = Arrivals.POISSON if is_diurnal else plan.arrivals
    lowest = max(2 * plan.rate - peak, 0.1 * plan.rate) if is_diurnal else plan.rate
    for at in arrivals(first, rate=lowest, peak=lowest, duration_s=plan.warm_up_s, random=random):
        yield at - plan.warm_up_s
    yield from arrivals(plan.arrivals, rate=plan.rate, peak=peak, duration_s=plan.duration_s, random=random)


def _bound(option: str, value: float, lowest: float, highest: float, meaning: str) -> None:
    if not lowest <= value <= highest:  # also refuses NaN
        raise UsageError(f"--{option} is {value:g}; expected {lowest:g} to {highest:g} ({meaning})")

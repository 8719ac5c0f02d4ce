"""When each request is meant to start, and what it is. Pure: time is seconds since the load began.

The load is open: requests start by this plan whether or not earlier ones have been answered, as those of many
independent clients do. Gaps are exponential (Poisson arrivals).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from kvctl.errors import UsageError

MAX_RATE = 5_000.0  # what one Python process can send at all, with room to spare
MAX_DURATION_S = 24 * 3600.0
MAX_KEYS = 1_000_000
MAX_VALUE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Plan:
    """What each region gets. `rate` in requests per second, `value_bytes` the smallest and the largest value."""

    rate: float = 50.0
    duration_s: float = 30.0
    reads: float = 0.95
    keys: int = 200
    value_bytes: tuple[int, int] = (1024, 5120)
    max_in_flight: int = 100
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        _bound("rate", self.rate, 0.1, MAX_RATE, "requests per second and region")
        _bound("duration", self.duration_s, 0.1, MAX_DURATION_S, "seconds")
        _bound("reads", self.reads, 0.0, 1.0, "the share of reads")
        _bound("keys", self.keys, 1, MAX_KEYS, "keys per region")
        _bound("max-in-flight", self.max_in_flight, 1, 10_000, "requests per region")
        _bound("timeout", self.timeout_s, 0.01, 300.0, "seconds")
        smallest, largest = self.value_bytes
        _bound("value-bytes", smallest, 1, MAX_VALUE_BYTES, "bytes")
        _bound("value-bytes", largest, smallest, MAX_VALUE_BYTES, "bytes, the largest not below the smallest")


class Operation(NamedTuple):
    """One request: `at` is when it is meant to start; `size` is that of the value if it is a write, else 0."""

    at: float
    key: int
    size: int


def operations(plan: Plan, random: Random) -> Iterator[Operation]:
    """Every request of one region, in order of time; ends with the plan's duration."""
    at = random.expovariate(plan.rate)
    while at < plan.duration_s:
        is_read = random.random() < plan.reads
        yield Operation(at, random.randrange(plan.keys), 0 if is_read else value_size(plan, random))
        at += random.expovariate(plan.rate)


def value_size(plan: Plan, random: Random) -> int:
    return random.randint(*plan.value_bytes)


def parse_sizes(text: str) -> tuple[int, int]:
    """`1024-5120` or `2048` -> smallest and largest, in bytes. Raises UsageError."""
    parts = text.split("-")
    if len(parts) > 2 or not all(part.isdigit() for part in parts):
        raise UsageError(
            f"--value-bytes {text!r} is not a size; write bytes, such as 2048, or a range, such as 1024-5120"
        )
    return int(parts[0]), int(parts[-1])


def _bound(option: str, value: float, lowest: float, highest: float, meaning: str) -> None:
    if not lowest <= value <= highest:  # also refuses NaN
        raise UsageError(f"--{option} is {value:g}; expected {lowest:g} to {highest:g} ({meaning})")

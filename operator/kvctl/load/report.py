"""What the load saw: a tally per region that grows while it runs, and the report made of it. Pure.

Latencies are kept in buckets that grow by 1 %, so a day of load takes no more memory than a second, and a percentile is
at most 1 % too high. They count from the *intended* start: a stalled server cannot hide behind the requests it kept
from being sent (Gil Tene's "coordinated omission").
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_GROWTH = math.log(1.01)
_SMALLEST_S = 1e-5
PERCENTILES = (50, 95, 99)

# Kinds of failure that are not an HTTP status.
TIMEOUT = "timeout"
CONNECTION = "connection"
WRONG = "wrong"  # bytes that were never written for this key
LOST = "lost"  # no record, though its write was acknowledged


class Histogram:
    """Latencies in seconds."""

    def __init__(self) -> None:
        self.count = 0
        self.max_s = 0.0
        self._buckets: Counter[int] = Counter()

    def add(self, latency_s: float) -> None:
        self.count += 1
        self.max_s = max(self.max_s, latency_s)
        self._buckets[math.ceil(math.log(max(latency_s, _SMALLEST_S) / _SMALLEST_S) / _GROWTH)] += 1

    def percentile(self, percent: float) -> float:
        """Upper edge of the bucket in which that share of the latencies is reached; 0 when there are none."""
        wanted = math.ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(_SMALLEST_S * math.exp(bucket * _GROWTH), self.max_s)
        return 0.0


@dataclass
class Tally:
    """One region's counters; read them at any moment.

    `sent` requests end up in `reads`, `writes` (both with latencies of failures too: a client waits for those as well)
    and are in flight until then. `dropped` were due but not sent, because too many were in flight.
    """

    sent: int = 0
    dropped: int = 0
    reads: Histogram = field(default_factory=Histogram)
    writes: Histogram = field(default_factory=Histogram)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        return self.reads.count + self.writes.count

    @property
    def failed(self) -> int:
        return self.errors.total()


def summary(tallies: dict[str, Tally], elapsed_s: float) -> dict[str, Any]:
    """As `--output json` prints it: region -> figures, and `total`. Latencies in milliseconds."""
    regions = {region: _region(tally, elapsed_s) for region, tally in tallies.items()}
    total = {name: sum(figures[name] for figures in regions.values()) for name in ("requests", "failed", "dropped")}
    errors = sum((tally.errors for tally in tallies.values()), Counter[str]())
    return {
        "seconds": round(elapsed_s, 3),
        "regions": regions,
        "total": {
            **total,
            "rate": round(total["requests"] / elapsed_s, 2) if elapsed_s else 0.0,
            "errors": dict(errors),
        },
    }


def _region(tally: Tally, elapsed_s: float) -> dict[str, Any]:
    return {
        "requests": tally.done,
        "failed": tally.failed,
        "dropped": tally.dropped,
        "rate": round(tally.done / elapsed_s, 2) if elapsed_s else 0.0,
        "errors": dict(tally.errors),
        "reads": _latencies(tally.reads),
        "writes": _latencies(tally.writes),
    }


def _latencies(histogram: Histogram) -> dict[str, float]:
    return {
        "count": histogram.count,
        **{f"p{percent}_ms": round(histogram.percentile(percent) * 1000, 3) for percent in PERCENTILES},
        "max_ms": round(histogram.max_s * 1000, 3),
    }

"""What the load saw: a tally per region that grows while it runs, and the report made of it. Pure.

Latencies are kept in buckets that grow by 1 %, so a day of load takes no more memory than a second, and a percentile is
at most 1 % too high. They count from the *intended* start: a stalled server cannot hide behind the requests it kept
from being sent (Gil Tene's "coordinated omission").

Slip is how late the generator itself was: the time from the intended start to the moment when the request was handed to
a connection. It is in the latencies, too; when there is much of it they say nothing of the server, and the run is void.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_GROWTH = math.log(1.01)
_SMALLEST_S = 1e-5
PERCENTILES = (50, 95, 99, 99.9)
MAX_SLIP_S = 0.001  # at the 99th percentile, beyond which a run is void

# Kinds of failure that are not an HTTP status.
TIMEOUT = "timeout"
CONNECTION = "connection"
WRONG = "wrong"  # bytes that were never written for this key
LOST = "lost"  # no record, though its write was acknowledged


class Histogram:
    """Times in seconds."""

    def __init__(self) -> None:
        self.count = 0
        self.max_s = 0.0
        self._sum_s = 0.0
        self._buckets: Counter[int] = Counter()

    def add(self, time_s: float) -> None:
        self.count += 1
        self._sum_s += time_s
        self.max_s = max(self.max_s, time_s)
        self._buckets[math.ceil(math.log(max(time_s, _SMALLEST_S) / _SMALLEST_S) / _GROWTH)] += 1

    @property
    def mean_s(self) -> float:
        return self._sum_s / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Upper edge of the bucket in which that share of the times is reached; 0 when there are none."""
        wanted = math.ceil(self.count * percent / 100)
        seen = 0
        for edge_s, count in self.buckets():
            seen += count
            if seen >= wanted:
                return min(edge_s, self.max_s)
        return 0.0

    def buckets(self) -> list[tuple[float, int]]:
        """Upper edge (s) and count of each bucket with something in it; the lower edge is the upper over 1.01."""
        return [(_SMALLEST_S * math.exp(each * _GROWTH), count) for each, count in sorted(self._buckets.items())]


@dataclass
class Tally:
    """One region's counters; read them at any moment. What came while the load warmed up is in none of them.

    `sent` requests end up in `reads`, `writes` (both with latencies of failures too: a client waits for those as well)
    and are in flight until then. `hits` are the reads, once more, that were answered with a cached copy. `dropped` were
    due but not sent, because too many were in flight.
    """

    sent: int = 0
    dropped: int = 0
    reads: Histogram = field(default_factory=Histogram)
    hits: Histogram = field(default_factory=Histogram)
    writes: Histogram = field(default_factory=Histogram)
    slip: Histogram = field(default_factory=Histogram)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        return self.reads.count + self.writes.count

    @property
    def failed(self) -> int:
        return self.errors.total()

    @property
    def void(self) -> str | None:
        """Why the latencies say nothing of the server; None: they do."""
        slip_s = self.slip.percentile(99)
        if slip_s <= MAX_SLIP_S:
            return None
        return (
            f"the generator itself was late: slip p99 {slip_s * 1000:.2f} ms, allowed {MAX_SLIP_S * 1000:g} ms; "
            "give it a core of its own, or a lower rate"
        )


def summary(tallies: dict[str, Tally], elapsed_s: float) -> dict[str, Any]:
    """As `--output json` prints it: region -> figures, and `total`. Times in milliseconds; `elapsed_s`: from the end of
    the warm-up to the last answer."""
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
            "void": next((why for tally in tallies.values() if (why := tally.void)), None),
        },
    }


def _region(tally: Tally, elapsed_s: float) -> dict[str, Any]:
    return {
        "requests": tally.done,
        "failed": tally.failed,
        "dropped": tally.dropped,
        "rate": round(tally.done / elapsed_s, 2) if elapsed_s else 0.0,
        "errors": dict(tally.errors),
        "void": tally.void,
        "reads": _times(tally.reads),
        "hits": _times(tally.hits),
        "writes": _times(tally.writes),
        "slip": _times(tally.slip),
    }


def _times(histogram: Histogram) -> dict[str, Any]:
    """`buckets`: upper edge in ms, and count."""
    return {
        "count": histogram.count,
        "mean_ms": round(histogram.mean_s * 1000, 4),
        **{f"p{percent:g}_ms": round(histogram.percentile(percent) * 1000, 3) for percent in PERCENTILES},
        "max_ms": round(histogram.max_s * 1000, 3),
        "buckets": [(round(edge_s * 1000, 5), count) for edge_s, count in histogram.buckets()],
    }

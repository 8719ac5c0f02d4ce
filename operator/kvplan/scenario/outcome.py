"""What came of a run. Times in seconds; a second is numbered from the end of the warm-up."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kvplan.laws import Floats
from kvplan.scenario.engine.state import BUCKETS, SHORTEST, STEP, Count
from kvplan.scenario.file import Scenario

GOOD = 0.99  # of the requests of a second answered in time: then it is a good one
_EDGES = SHORTEST * np.exp(STEP * np.arange(BUCKETS))


@dataclass(frozen=True)
class Run:
    """`seconds`: region, second, `Count`; `latencies`: region, second, bucket; requests count in the second in which
    they arrived, by their clients' region. `attempts`: what became of all attempts, warm-up included.

    Latencies are of what was answered in time, from the request's first attempt on; within 2 % (their buckets).
    """

    scenario: Scenario
    seconds: Floats
    latencies: NDArray[np.int32]
    attempts: Mapping[str, int]

    @property
    def judged(self) -> int:
        """Seconds from the beginning whose requests have all ended one way or another. Of the later ones the failures
        are not known yet, so they would look better than they are."""
        return self.scenario.duration - math.ceil(self.scenario.patience)

    @cached_property
    def goodput(self) -> Floats:
        """Share answered in time, each judged second, all regions; NaN where nothing arrived."""
        return _share(self.total(Count.ANSWERED), self.total(Count.ARRIVED))[: self.judged]

    @property
    def goodput_share(self) -> float:
        """Over all judged seconds."""
        answered, arrived = (self.total(each)[: self.judged].sum() for each in (Count.ANSWERED, Count.ARRIVED))
        return float(_share(answered, arrived))

    def goodput_of(self, seconds: slice, region: int) -> float:
        """Of the clients of one region, over those of the seconds that are judged."""
        own = self.seconds[region, : self.judged][seconds]
        return float(_share(own[:, Count.ANSWERED].sum(), own[:, Count.ARRIVED].sum()))

    def total(self, column: Count) -> Floats:
        """Each second, all regions."""
        return np.asarray(self.seconds[:, :, column].sum(axis=0))

    @property
    def hit_rate(self) -> Floats:
        return _share(self.total(Count.HITS), self.total(Count.LOOKUPS))

    def quantiles(self, percentile: float, region: int | None = None) -> Floats:
        """Of each second, of one region's clients or of all; NaN where nothing was answered."""
        counts = self.latencies.sum(axis=0) if region is None else self.latencies[region]
        return np.array([quantile(each, percentile) for each in counts])

    def p95(self, begin: int, end: int, region: int | None = None) -> float:
        """Over these seconds, the end not among them."""
        chosen = self.latencies if region is None else self.latencies[region : region + 1]
        return quantile(chosen[:, begin:end].sum(axis=(0, 1)), 95)

    @cached_property
    def begin(self) -> int:
        """The second of the first event; the end, if there is none."""
        return min((int(event.at) for event in self.scenario.events), default=self.scenario.duration)

    @cached_property
    def over(self) -> int:
        """The second in which the last event is over. One of a moment, or to the end of the run, is over when it has
        begun: what follows is the recovery, or what it has come to."""
        ends = (math.ceil(event.at + (getattr(event, "lasts", None) or 0)) for event in self.scenario.events)
        return min(max(ends, default=self.scenario.duration), self.scenario.duration)

    @cached_property
    def recovered(self) -> int | None:
        """The second from which on every judged one was good, not before `over`; None: there was none."""
        bad = self._bad
        if bad.size and bad[-1] == self.judged - 1:
            return None
        return max(self.over, int(bad[-1]) + 1 if bad.size else 0)

    @property
    def recovered_after(self) -> int | None:
        """Seconds from `over` to `recovered`."""
        return None if self.recovered is None else self.recovered - self.over

    @cached_property
    def _bad(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.goodput[self.begin :] < GOOD) + self.begin

    @property
    def bad_seconds(self) -> int:
        """From the first event on."""
        return int(self._bad.size)

    @property
    def worst_second(self) -> int | None:
        """The one with the least goodput; None if all was answered in time."""
        if np.isnan(self.goodput).all() or np.nanmin(self.goodput) == 1:
            return None
        return int(np.nanargmin(self.goodput))

    @property
    def phases(self) -> dict[str, tuple[int, int]]:
        """Before the first event; until all is well again; from then on: (begin, end) of each."""
        end = self.scenario.duration
        again = end if self.recovered is None else self.recovered
        return {"before": (0, self.begin), "during": (self.begin, again), "after": (again, end)}


def quantile(counts: NDArray[np.int64] | NDArray[np.int32], percentile: float) -> float:
    """Of a histogram of `latencies`: the upper edge of its bucket; NaN of nothing."""
    if not counts.sum():
        return float("nan")
    cumulated = np.cumsum(counts)
    return float(_EDGES[np.searchsorted(cumulated, percentile / 100 * cumulated[-1])])


def _share(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole)

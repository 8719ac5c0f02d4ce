"""What came of a run. Times in seconds; a second is numbered from the end of the warm-up."""

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

    @cached_property
    def goodput(self) -> Floats:
        """Share answered in time of those whose end was seen, each second, all regions; NaN where there were none."""
        return _share(self.total(Count.ANSWERED), self._ended)

    @property
    def goodput_share(self) -> float:
        return float(_share(self.total(Count.ANSWERED).sum(), self._ended.sum()))

    def goodput_of(self, seconds: slice, region: int) -> float:
        """Of the clients of one region."""
        answered, *others = (
            self.seconds[region, seconds, each].sum() for each in (Count.ANSWERED, Count.FAILED, Count.SHED)
        )
        return float(_share(answered, answered + sum(others)))

    @property
    def _ended(self) -> Floats:
        return self.total(Count.ANSWERED) + self.total(Count.FAILED) + self.total(Count.SHED)

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
    def phases(self) -> tuple[int, int, int]:
        """(first event, when the last is over, the end): before, during and after. What happens at a moment, or goes
        on to the end, is over when it has begun: what follows is the recovery, or what it has come to."""
        end = self.scenario.duration
        if not self.scenario.events:
            return end, end, end
        begin = min(int(event.at) for event in self.scenario.events)
        over = max(int(np.ceil(event.at + (getattr(event, "lasts", None) or 0))) for event in self.scenario.events)
        return begin, min(over, end), end

    @property
    def bad_seconds(self) -> int:
        return int((self.goodput[self.phases[0] :] < GOOD).sum())

    @property
    def worst_second(self) -> int | None:
        """The one with the least goodput; None if all was answered in time."""
        if self.goodput_share == 1 or np.isnan(self.goodput).all():
            return None
        return int(np.nanargmin(self.goodput))

    @property
    def recovered_after(self) -> float | None:
        """Seconds from when the last event was over until every second to come was good; None: not within the run."""
        bad = np.flatnonzero(self.goodput[self.phases[0] :] < GOOD) + self.phases[0]
        if not bad.size:
            return 0.0
        if bad[-1] >= self._last_seen:
            return None
        return float(max(0, bad[-1] + 1 - self.phases[1]))

    @property
    def _last_seen(self) -> int:
        """The last second of which some request's end was seen."""
        return int(np.flatnonzero(self._ended)[-1])


def quantile(counts: NDArray[np.int64] | NDArray[np.int32], percentile: float) -> float:
    """Of a histogram of `latencies`: the upper edge of its bucket; NaN of nothing."""
    if not counts.sum():
        return float("nan")
    cumulated = np.cumsum(counts)
    return float(_EDGES[np.searchsorted(cumulated, percentile / 100 * cumulated[-1])])


def _share(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole)

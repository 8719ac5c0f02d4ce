"""How long the visits of a request wait at its pool, which serves one at a time and to which requests come back, by the
rule that chose the pool. Owns what is known without a grid: means, variances, how much two waits of one request have
in common. `visits` makes laws of it.

For each rule a queueing theory gives a first answer, and a few coefficients bend it to simulations: the logarithm of
each quantity's factor is a sum of products of `_terms`. The coefficients are in `fitted`; bench/fitting/pods.py found
them.

Random, and in turn. All work still to be done for the requests of a pool, U, loses 1 a second while its server is
busy. From dE[U^2] = 0, and if little of it is away while the server is idle, the waits weighted with the work that is
still to follow (from the visit's own service on, R in all per request) are those of GI/G/1 with a request's whole work
b as service: mean wait = b^2 / 2R x load (c + v) / (1 - load), v the squared CV of b, c that of the times between
arrivals at a pool: 1 at random, 1/pools in turn. With one visit this is Pollaczek and Khinchine's.

Power of two, and least in flight: `in_flight`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from kvplan.laws import Law
from kvplan.model import in_flight, turns
from kvplan.model.fitted import FITTED
from kvplan.system import Balancing

_MOST_WAITING = 0.999
_APART = 0.7  # of one more wait that has nothing in common: how much it adds to the exponent of no wait at all
_FAINT = 1e-12  # a share of waits that does not matter, but is not 0

Coefficients = Mapping[str, Mapping[str, float]]  # quantity -> names of the terms that are multiplied -> coefficient


@dataclass(frozen=True)
class Stay:
    """What the requests of one class do at one pool."""

    share: float  # of the requests that come to the station
    services: tuple[Law, ...]  # of the visits, in order
    gaps: tuple[float, ...]  # mean seconds between two visits, waits at other stations included


@dataclass(frozen=True)
class Sum:
    """Of some waits: the mean and the variance, and the probability that there was nothing to wait for."""

    mean: float
    variance: float
    none: float

    def and_more(self, seconds: float) -> "Sum":
        """Longer by so much on average, in proportion to how long they are."""
        factor = 1 + seconds / self.mean if self.mean else 1.0
        return Sum(self.mean * factor, self.variance * factor**2, self.none)


@dataclass(frozen=True)
class Pool:
    """One of `count` pools of one server, and what its requests do there."""

    balancing: Balancing
    count: int
    load: float  # its utilisation
    arrivals: float  # squared CV of the times between requests, of all pools together
    stays: tuple[Stay, ...]  # their shares sum to 1
    in_turns: bool = False

    @cached_property
    def visits(self) -> float:
        """Of a request, on average."""
        return sum(stay.share * len(stay.services) for stay in self.stays)

    @cached_property
    def service(self) -> float:
        return self.work / self.visits

    @cached_property
    def service_scv(self) -> float:
        return self._service_moment(2) / self.service**2 - 1

    @cached_property
    def work(self) -> float:
        """Mean of all services of a request."""
        return sum(stay.share * law.mean for stay in self.stays for law in stay.services)

    @cached_property
    def work_scv(self) -> float:
        second = 0.0
        for stay in self.stays:
            mean = sum(law.mean for law in stay.services)
            second += stay.share * (mean**2 + sum(law.mean**2 * law.scv for law in stay.services))
        return second / self.work**2 - 1

    @cached_property
    def to_follow(self) -> float:
        """Mean, summed over a request's visits, of the work from that visit on."""
        return sum(
            stay.share * number * law.mean for stay in self.stays for number, law in enumerate(stay.services, start=1)
        )

    @cached_property
    def away(self) -> float:
        """Mean of all gaps of a request."""
        return sum(stay.share * sum(stay.gaps) for stay in self.stays)

    def busy_wait(self, arrivals: float) -> float:
        """The formula above; `arrivals` is its c."""
        return self.work**2 / (2 * self.to_follow) * self.load * (arrivals + self.work_scv) / (1 - self.load)

    @cached_property
    def first_answer(self) -> tuple[float, float, float]:
        """Mean wait, probability of waiting, squared CV of the waits that are not 0."""
        if self.balancing is Balancing.RANDOM or self.balancing is Balancing.ROUND_ROBIN:
            half = (1 - self.load) * self.left(2) / self.left(1) ** 2
            return self.busy_wait(self._evenness), self.load, 2 * self.load + half - 1
        seen = in_flight.found(
            balancing=self.balancing,
            pools=self.count,
            load=self.load,
            visits=self.visits,
            away=self.away / self.service,
        )
        found = seen[1:]
        found[0] += _FAINT
        waiting, ahead = float(found.sum()), np.arange(found.size)
        means = ahead * self.service + self.left(1)
        variances = ahead * self.service**2 * self.service_scv + self.left(2) - self.left(1) ** 2
        mean = float(found @ means) / waiting
        scv = float(found @ (means**2 + variances)) / waiting / mean**2 - 1
        common = min(1.0, self.busy_wait(1.0) / (self.count * mean * waiting))  # part of the waits that all pools share
        return mean * waiting * (1 + common * (self.arrivals - 1) / (1 + self.work_scv)), waiting, scv

    @property
    def _evenness(self) -> float:
        """Squared CV of the times between arrivals at the pool."""
        if self.balancing is Balancing.ROUND_ROBIN:
            return self.arrivals / self.count
        return 1 + (self.arrivals - 1) / self.count

    def left(self, power: int) -> float:
        """Mean of that power of what is left of a service at a random moment; third moments as of lognormal laws."""
        return self._service_moment(power + 1) / ((power + 1) * self.service)

    def _service_moment(self, power: int) -> float:
        moments = (
            stay.share * law.mean**power * math.pow(1 + law.scv, power * (power - 1) / 2)
            for stay in self.stays
            for law in stay.services
        )
        return sum(moments) / self.visits


class Waits:
    """Of the visits at a pool. `coefficients`: others than those that are known, to fit them."""

    def __init__(self, pool: Pool, coefficients: Coefficients | None = None) -> None:
        self._pool = pool
        self._coefficients = FITTED[pool.balancing.value] if coefficients is None else coefficients
        mean, waiting, scv = pool.first_answer
        self._terms = _terms(pool, mean)
        self._usual = mean * self._factor("mean")  # s
        self._waiting = min(waiting * self._factor("waiting"), _MOST_WAITING)  # probability of waiting
        self._variance = self._usual**2 * ((1 + scv * self._factor("scv")) / self._waiting - 1)

    @cached_property
    def one(self) -> Sum:
        """Of one visit, averaged over all of them."""
        places = sum(
            stay.share * sum(self._place(visit, stay.gaps) for visit in range(len(stay.services)))
            for stay in self._pool.stays
        )
        alone = Sum(self._usual * places / self._pool.visits, self._variance, 1 - self._waiting)
        held = sum(stay.share * self.held(stay.gaps, leaves=True) for stay in self._pool.stays)
        return alone.and_more(held / self._pool.visits)

    def of(self, gaps: Sequence[float], variances: Sequence[float], *, skipped: int = 0, leaves: bool = True) -> Sum:
        """All waits of a request, but for the first `skipped` of them: `gaps` are the mean seconds between its visits,
        `variances` (s^2) those of its services. `leaves`: with the end of its last turn, if the pool is served so."""
        visits = range(skipped, len(variances))
        mean = self._usual * sum(self._place(visit, gaps) for visit in visits)
        common = [self._common(gaps[a:b]) for a, b in combinations(visits, 2)]
        variance = self._variance * (len(visits) + 2 * sum(common)) + 2 * self._sum("drag") * sum(variances[:-1])
        apart = 1 - sum(common) / len(common) if common else 1.0
        none = (1 - self._waiting) ** (1 + _APART * (len(visits) - 1) * apart)
        return Sum(mean, variance, none).and_more(self.held(gaps, leaves=leaves))

    def held(
        self, gaps: Sequence[float], *, leaves: bool, between: tuple[float, float, float] = turns.BETWEEN
    ) -> float:
        """What the ends of turns add, to all visits together, if the pool is served so (s); as `turns` has it."""
        pool = self._pool
        if not pool.in_turns:
            return 0.0
        rest, wait = pool.left(1), self._usual
        return turns.held(wait=wait, rest=rest, service=pool.service, gaps=gaps, leaves=leaves, between=between)

    def _place(self, visit: int, gaps: Sequence[float]) -> float:
        """How the wait at that visit, from 0, differs from the usual one: of requests that come once, not at all."""
        if not gaps:
            return 1.0
        if not visit:
            return self._factor("first")
        return self._factor("later", soon=1 / (1 + gaps[visit - 1] / self._pool.service))

    def _common(self, gaps: Sequence[float]) -> float:
        """Correlation of the waits before and after these gaps, and visits in between."""
        pool = self._pool
        time = sum(gaps) / pool.service + (len(gaps) - 1) * (1 + self._usual / pool.service)
        faded = time * (1 - pool.load) ** 2 / (1 + pool.service_scv)  # in times in which a queue forgets
        return 1 / (1 + math.exp(-self._sum("common", gap=math.log1p(time), faded=math.log1p(faded))))

    def _factor(self, quantity: str, **more: float) -> float:
        return math.exp(self._sum(quantity, **more))

    def _sum(self, quantity: str, **more: float) -> float:
        terms = self._terms | more
        return sum(
            coefficient * math.prod(terms[name] for name in names.split())
            for names, coefficient in self._coefficients[quantity].items()
        )


def _terms(pool: Pool, wait: float) -> dict[str, float]:
    """What the fitted factors depend on. `wait` is the first answer."""
    all_as_one = pool.busy_wait(1.0) / pool.count
    return {
        "load": pool.load,
        "slack": 1 - pool.load,
        "busy": math.log(pool.load / (1 - pool.load)),
        "spread": math.log1p(pool.service_scv),
        "pools": math.log(pool.count),
        "away": pool.away / (pool.work + pool.away),
        "shared": all_as_one / (all_as_one + wait),  # near 1: what all pools wait for, not who chose badly
        "evened": math.log((1 + pool.work_scv) / (1 / pool.count + pool.work_scv)),  # what taking turns wins at most
    }

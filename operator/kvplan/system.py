"""The path of a request, as `model` predicts and `simulate` plays it: stations with queues, and classes of requests
with their steps through them. Says nothing of how either is done.

A station is `pools` independent queues in front of `servers` servers each, first come first served: 16 pods with one
event loop each are 16 pools of 1 server; a machine with 8 workers is one pool of 8. All visits of one request at one
station are at the same pool (a request stays at its pod, a key at its shard), which is chosen at the first visit by the
station's `balancing`; copies of a visit are at as many different pools.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from kvplan.errors import InputError, UnstableError
from kvplan.laws import NOTHING, Law


class Balancing(StrEnum):
    """How a request gets its pool. In flight at a pool: requests between their first arrival there and the end of their
    last visit there, also while they wait for another station."""

    RANDOM = "random"
    ROUND_ROBIN = "round-robin"
    POWER_OF_TWO = "power-of-two"  # two at random; the one with fewer in flight
    LEAST_IN_FLIGHT = "least-in-flight"  # of all; ties at random


@dataclass(frozen=True)
class Station:
    """`in_turns`: as an event loop that writes at the end of each turn (uvloop does). The server takes all that wait,
    serves one after the other, and then they leave together: a visit also waits for those behind it in its turn."""

    name: str
    servers: int = 1  # of each pool
    pools: int = 1
    balancing: Balancing = Balancing.RANDOM
    in_turns: bool = False

    def __post_init__(self) -> None:
        for what, value in (("servers", self.servers), ("pools", self.pools)):
            if value < 1:
                raise InputError(f"station {self.name} has {value} {what}; expected 1 or more")
        if self.in_turns and self.servers > 1:
            raise InputError(
                f"station {self.name} serves in turns with {self.servers} servers; expected 1 at each pool"
            )


@dataclass(frozen=True)
class Visit:
    """Wait for a server of the station's pool, and be served for a time of `law`.

    `copies` > 1: sent at once to that many pools of the station, over only when `needed` of them have answered (a
    quorum; the others still do their work). `hop` is the time on the way there and back, for each copy.
    `hedge_after` (s): if there is no answer by then, one more copy goes to another pool, and the first answer counts.
    """

    station: str
    law: Law
    copies: int = 1
    needed: int = 1
    hop: Law = NOTHING
    hedge_after: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.needed <= self.copies:
            raise InputError(f"{self.needed} of {self.copies} answers needed at {self.station}; expected 1 up to all")
        if self.hedge_after is not None and (self.hedge_after < 0 or self.copies > 1):
            raise InputError(f"a hedge at {self.station} needs a time not below 0 and a visit of one copy")


@dataclass(frozen=True)
class Pause:
    """Time that no queue makes longer: the way through a network, a client's own work."""

    name: str
    law: Law


Step = Visit | Pause


@dataclass(frozen=True)
class Class:
    """Requests of one kind, `share` of all, and their steps one after the other.

    `from_service`: its latency counts from when the first step, a visit, is begun to be served, without the wait
    before; and if the last step is one at a station that serves in turns, to the end of its service. That is what a
    pod's own histogram sees: a request that waits for the event loop is not known to it yet, nor is the way out.
    `counted`: its latency is part of the whole's; not so for other work at the same stations, such as the writes that
    come from another region.
    """

    name: str
    share: float
    steps: tuple[Step, ...]
    from_service: bool = False
    counted: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InputError(f"the share of {self.name} is {self.share:g}; expected 0 to 1")
        if not self.steps:
            raise InputError(f"class {self.name} has no steps; expected at least one")
        if self.from_service and not (isinstance(self.steps[0], Visit) and self.steps[0].copies == 1):
            raise InputError(f"class {self.name} counts from its first service, but does not begin with a plain visit")


@dataclass(frozen=True)
class System:
    """Requests arrive at `rate` (1/s) with `scv` the squared CV of the times between them (1: Poisson).

    `timeout` (s): a request not answered by then is given up by its client, who tries again up to `retries` times.
    """

    rate: float
    stations: tuple[Station, ...]
    classes: tuple[Class, ...]
    scv: float = 1.0
    timeout: float | None = None
    retries: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise InputError(f"the rate is {self.rate:g} requests/s; expected a number above 0")
        if not (math.isfinite(self.scv) and self.scv >= 0):
            raise InputError(f"the squared CV of arrivals is {self.scv:g}; expected a number not below 0")
        if self.retries < 0 or (self.timeout is not None and not self.timeout > 0):
            raise InputError(f"a timeout of {self.timeout} s, {self.retries} retries; expected above 0, and 0 or more")
        names = [station.name for station in self.stations]
        if len(set(names)) != len(names):
            raise InputError(f"two stations have one name: {', '.join(sorted(names))}")
        self._check_classes()

    def _check_classes(self) -> None:
        total = sum(each.share for each in self.classes)
        if abs(total - 1) > 1e-6:
            raise InputError(f"the shares of the classes sum to {total:g}; expected 1")
        for each, visit in self.visits():
            if visit.station not in {station.name for station in self.stations}:
                raise InputError(f"class {each.name} visits {visit.station}, which is no station")
            most = self.station(visit.station).pools - (visit.hedge_after is not None)
            if visit.copies > most:
                raise InputError(f"{visit.copies} copies at {visit.station} need as many pools; it has {most} for them")

    def station(self, name: str) -> Station:
        return next(station for station in self.stations if station.name == name)

    def visits(self) -> Iterator[tuple[Class, Visit]]:
        """Every visit of every class, in order."""
        return ((each, step) for each in self.classes for step in each.steps if isinstance(step, Visit))

    def loads(self) -> dict[str, float]:
        """Station -> utilisation (the utilisation law: arrival rate times mean service over servers), without what
        hedges and retries add. 1 and more is unstable."""
        work = dict.fromkeys((station.name for station in self.stations), 0.0)
        for each, visit in self.visits():
            work[visit.station] += self.rate * each.share * visit.copies * visit.law.mean
        return {station.name: work[station.name] / (station.servers * station.pools) for station in self.stations}

    def check_stable(self) -> None:
        """Raises UnstableError for the busiest station if it cannot do its work."""
        loads = self.loads()
        busiest = max(loads, key=lambda name: loads[name], default=None)
        if busiest and loads[busiest] >= 1:
            raise UnstableError(busiest, loads[busiest], self.rate)

    def at(self, rate: float) -> "System":
        """The same at another rate."""
        return replace(self, rate=rate)

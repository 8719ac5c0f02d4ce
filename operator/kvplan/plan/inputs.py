"""What a plan is made from: workload, regions, objectives, measured times, hardware. Every bound is checked here, so
that what comes after may divide.

A number that is only known roughly is an `Estimate`: a plain number, or `{low, mid, high}` (5 %, 50 % and 95 % of what
is believed). Written in camelCase in YAML, as in a KVCluster.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kvplan.laws import Deterministic, Empirical, Gamma, Law, LogNormal
from kvplan.system import Balancing


class Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
        alias_generator=lambda name: (parts := name.split("_"))[0] + "".join(part.title() for part in parts[1:]),
    )


class Range(Strict):
    """5 %, 50 % and 95 % of what is believed of a number above 0."""

    low: Annotated[float, Field(gt=0)]
    mid: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low <= self.mid <= self.high:
            raise ValueError(f"low {self.low:g}, mid {self.mid:g}, high {self.high:g}; expected them to rise")
        return self


Estimate = Annotated[float, Field(gt=0)] | Range


def mid(estimate: float | Range) -> float:
    return estimate.mid if isinstance(estimate, Range) else estimate


class Shape(StrEnum):
    LOGNORMAL = "lognormal"
    GAMMA = "gamma"
    DETERMINISTIC = "deterministic"


class Time(Strict):
    """A time: its mean in seconds (roughly, or not), CV and shape; or measured, `edges` (s) and `counts` of a
    histogram, which `mean` then scales."""

    mean: Estimate
    cv: Annotated[float, Field(gt=0, le=10)] = 0.5
    shape: Shape = Shape.LOGNORMAL
    edges: tuple[float, ...] | None = None
    counts: tuple[float, ...] | None = None

    def law(self, mean: float | None = None) -> Law:
        """With another mean, if one is given: of a sampled world."""
        average = mid(self.mean) if mean is None else mean
        if self.edges and self.counts:
            measured = Empirical(self.edges, self.counts)
            return measured.scaled(average / measured.mean)
        match self.shape:
            case Shape.LOGNORMAL:
                return LogNormal(average, self.cv)
            case Shape.GAMMA:
                return Gamma(average, self.cv)
            case Shape.DETERMINISTIC:
                return Deterministic(average)


class Workload(Strict):
    """What clients do, world-wide."""

    peak_qps: Estimate  # requests per second in the busiest minute of the day
    mean_to_peak: Annotated[float, Field(gt=0, le=1)] = 0.5  # mean of the day over its peak
    reads: Annotated[float, Field(ge=0, le=1)] = 0.95
    value_bytes: Estimate = 2048
    id_bytes: Annotated[float, Field(gt=0)] = 40
    records: Estimate = 1e6
    skew: Estimate = 0.99  # exponent of Zipf's law of the records' popularity
    qps_growth_per_month: Annotated[float, Field(gt=-1, le=10)] = 0.0
    data_growth_per_month: Annotated[float, Field(gt=-1, le=10)] = 0.0


class Region(Strict):
    """`share` of the peak; `pods` fixed, or None to be chosen."""

    name: Annotated[str, Field(min_length=1)]
    share: Annotated[float, Field(gt=0, le=1)]
    zones: Annotated[int, Field(ge=1)] = 3
    pods: Annotated[int, Field(ge=1)] | None = None


class Cache(Strict):
    """Per region. `shards` and `memory_bytes` of each: None to be chosen."""

    shards: Annotated[int, Field(ge=1)] | None = None
    memory_bytes: Annotated[float, Field(gt=0)] | None = None
    ttl: Annotated[float, Field(gt=0)] = 600.0  # s


class Storage(Strict):
    """Cassandra, per region. `nodes` None: to be chosen. `concurrency`: requests that one node works on at once."""

    nodes: Annotated[int, Field(ge=1)] | None = None
    copies: Annotated[int, Field(ge=1, le=9)] = 3
    concurrency: Annotated[int, Field(ge=1)] = 8
    disk_bytes: Annotated[float, Field(gt=0)] | None = None  # of each node


class Service(Strict):
    """Measured times, as `kvctl calibrate` writes them; the defaults are guesses that say so by their ranges.

    Pod: CPU of the event loop, all that a request of the kind takes there: it is spread evenly over the visits (see
    `topology`), each with the CV given here. A pod works on one request at a time.
    """

    client_network: Time = Time(mean=Range(low=0.005, mid=0.020, high=0.040), cv=0.3)  # round trip client to edge
    gateway: Time = Time(mean=0.0002, cv=1.0)
    zone_hop: Time = Time(mean=0.0003, cv=0.3)  # round trip inside a zone
    cross_zone_hop: Time = Time(mean=0.0008, cv=0.3)
    pod_read: Time = Time(mean=Range(low=0.0008, mid=0.0012, high=0.002), cv=0.5)
    pod_miss: Time = Time(mean=Range(low=0.0014, mid=0.0020, high=0.003), cv=0.5)
    pod_write: Time = Time(mean=Range(low=0.0018, mid=0.0025, high=0.004), cv=0.5)
    cache: Time = Time(mean=0.00003, cv=0.5)  # one command at a shard
    store_read: Time = Time(mean=Range(low=0.001, mid=0.002, high=0.004), cv=1.0)  # at one replica
    store_write: Time = Time(mean=Range(low=0.0005, mid=0.001, high=0.002), cv=1.0)


class Autoscaling(Strict):
    """What an autoscaler of the pods is up against."""

    growth_per_minute: Annotated[float, Field(ge=0, le=10)] = 0.1  # of the load, when it rises
    ready_after: Annotated[float, Field(ge=0, le=3600)] = 60.0  # s, from the load that asks for a pod to its serving


class Inputs(Strict):
    """All of it. `objectives`: percentile -> seconds, at the client, its network included."""

    workload: Workload
    regions: Annotated[tuple[Region, ...], Field(min_length=1)]
    objectives: Mapping[float, float] = {95.0: 0.100}
    availability: Annotated[float, Field(gt=0, lt=100)] = 99.9
    cache: Cache = Cache()
    storage: Storage = Storage()
    service: Service = Service()
    autoscaling: Autoscaling = Autoscaling()
    balancing: Balancing = Balancing.LEAST_IN_FLIGHT
    months: Annotated[int, Field(ge=1, le=60)] = 12
    prices: str = "generic"  # name of a price table
    clients_on_internet: bool = True  # else inside the cloud: no egress to the internet

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Self:
        total = sum(region.share for region in self.regions)
        if abs(total - 1) > 0.001:
            raise ValueError(f"the regions' shares sum to {total:g}; expected 1")
        names = [region.name for region in self.regions]
        if len(set(names)) != len(names):
            raise ValueError(f"two regions have one name: {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _objectives_make_sense(self) -> Self:
        for percentile, seconds in self.objectives.items():
            if not (0 < percentile < 100 and 0 < seconds <= 60):
                raise ValueError(
                    f"objective {percentile:g}: {seconds:g} s; expected a percentile between 0 and 100, and up to 60 s"
                )
        return self

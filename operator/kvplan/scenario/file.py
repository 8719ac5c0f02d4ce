"""A scenario as its file says it: a base (workload, clients, regions, times), events at times, protections.

Written in camelCase; every bound is checked here. Times in seconds, from the end of the warm-up.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from kvplan.errors import InputError
from kvplan.plan.inputs import Strict, Time, mid
from kvplan.plan.reading import sentence
from kvplan.system import Balancing

Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
MOST_KEYS = 60_000_000  # of all regions together, 24 bytes each
Many = Annotated[int, Field(ge=1, le=1_000_000)]


class Workload(Strict):
    """World-wide. `skew`: exponent of Zipf's law of the records' popularity."""

    peak_qps: Annotated[float, Field(gt=0, le=10_000_000)]
    reads: Annotated[float, Field(ge=0, le=1)] = 0.95
    records: Annotated[int, Field(ge=1, le=2_000_000_000)] = 1_000_000
    skew: Annotated[float, Field(ge=0, le=3)] = 0.99


class Client(Strict):
    """What clients do when there is no answer: give up after `timeout`, and try again up to `retries` times, after a
    random time up to `backoff`, twice that, four times that (0: at once)."""

    timeout: Seconds = 1.0
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    backoff: Annotated[float, Field(ge=0, le=60)] = 0.0
    network: Time | None = None  # round trip to the region's edge

    @model_validator(mode="after")
    def _answers_can_be_in_time(self) -> Self:
        network = mid(self.network.mean) if self.network else 0.0
        if network >= self.timeout:
            raise ValueError(f"network takes {network:g} s; expected less than the timeout of {self.timeout:g} s")
        return self


class Region(Strict):
    """`share` of the requests. `store_servers`: operations that its store works on at once."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    share: Share
    pods: Many
    cache_entries: Annotated[int, Field(ge=0)]
    cache_shards: Many = 1
    store_servers: Many


class Times(Strict):
    """Work, without waiting. A read visits its pod before and after the cache: `pod_read` is the two visits' work, in
    halves; a miss has a third visit, and `pod_miss` is all three's. A write visits it before the store, for a third of
    `pod_write`, and after it. The store's times are as a pod sees them, network included."""

    pod_read: Time = Time(mean=0.0012)
    pod_miss: Time = Time(mean=0.0020)
    pod_write: Time = Time(mean=0.0025)
    refuse: Annotated[float, Field(ge=0, le=1)] = 0.0002  # a pod's work for a refusal
    cache: Time = Time(mean=0.00003)  # one command at a shard
    cache_hop: Annotated[float, Field(ge=0, le=1)] = 0.0005  # round trip between pod and shard
    store_read: Time = Time(mean=0.004, cv=1.0)
    store_write: Time = Time(mean=0.003, cv=1.0)

    @model_validator(mode="after")
    def _a_miss_is_more_than_a_read(self) -> Self:
        read, miss = (mid(each.mean) for each in (self.pod_read, self.pod_miss))
        if miss < read:
            raise ValueError(f"podMiss is {miss:g} s, podRead {read:g} s; expected podMiss, a read and more, not below")
        return self


class Coalescing(Strict):
    """In each region a key that is missing is asked of the store once; the others who want it wait for that."""


class Admission(Strict):
    """Bounded queues: beyond `in_flight` requests at a pod, or `store_queue` waiting for the region's store, no."""

    in_flight: Many = 100
    store_queue: Many = 200


class RetryBudget(Strict):
    """A region's clients retry at most this share of their requests; what they do not use is kept for one second."""

    share: Share = 0.1


class Deadline(Strict):
    """Neither pod nor store begins what no client waits for any more."""


class StaleIfError(Strict):
    """A copy that is no longer fresh, but at most by `keep`, is the answer if the store refuses, or takes `after`."""

    keep: Seconds = 3600.0
    after: Seconds = 0.1


class Breaker(Strict):
    """Of `failures` in a row (answers slower than `store`, `cache`) the dependency is left alone for `pause`, then one
    try each `pause` goes through. A cache is not waited for longer than that, and passed by: the store is asked."""

    failures: Many = 5
    store: Seconds = 0.25
    cache: Seconds = 0.05
    pause: Seconds = 0.5


class Hedging(Strict):
    """If the store has not answered after that time, it is asked once more; the first answer counts."""

    after: Seconds = 0.02


class JitteredTtl(Strict):
    """Each copy's time to live is shorter by a random share, up to this one."""

    share: Share = 0.1


class NearCache(Strict):
    """Pods keep the `keys` most popular keys, and one that gets hot, in their own memory."""

    keys: Annotated[int, Field(ge=1, le=10_000)] = 100
    ttl: Seconds = 1.0


class Protections(Strict):
    """Each is off (absent, or `off`), `on`, or has its numbers."""

    coalescing: Coalescing | None = None
    admission: Admission | None = None
    retry_budget: RetryBudget | None = None
    deadline: Deadline | None = None
    stale_if_error: StaleIfError | None = None
    breaker: Breaker | None = None
    hedging: Hedging | None = None
    jittered_ttl: JitteredTtl | None = None
    near_cache: NearCache | None = None

    @model_validator(mode="before")
    @classmethod
    def _on_and_off(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {
            key: {True: {}, False: None}[value] if isinstance(value, bool) else value for key, value in given.items()
        }

    def named(self) -> tuple[str, ...]:
        """Those that are on, as a file names them."""
        return tuple(_camel(name) for name in type(self).model_fields if getattr(self, name) is not None)

    def only(self, names: tuple[str, ...]) -> "Protections":
        """These, with the file's numbers where it has some. Raises InputError for a name that is none."""
        unknown = [name for name in names if name not in ALL_PROTECTIONS]
        if unknown:
            raise InputError(f"{unknown[0]} is no protection; expected some of {', '.join(ALL_PROTECTIONS)}")
        mine = self.model_dump(by_alias=True)
        return Protections.model_validate({name: mine[name] if mine[name] is not None else True for name in names})


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


ALL_PROTECTIONS = tuple(_camel(name) for name in Protections.model_fields)


class _Event(Strict):
    """`region` None: everywhere. `lasts` None: to the end."""

    at: Annotated[float, Field(ge=0)]
    region: str | None = None


class _Lasting(_Event):
    lasts: Seconds | None = None


class Surge(_Lasting):
    """The rate grows to `factor` times itself within `within`, and falls as fast when it is over."""

    event: Literal["surge"]
    factor: Annotated[float, Field(gt=0, le=1000)] = 10.0
    within: Seconds = 10.0


class Flush(_Event):
    """The cache loses `share` of its entries."""

    event: Literal["flush"]
    share: Share = 1.0


class ZoneLost(_Lasting):
    """`share` of the pods is gone, with all that was under way there, and of the store's servers, and `cache_share` of
    the cache's entries. The gateway goes on sending to the pods until `noticed_after`."""

    event: Literal["zone-lost"]
    share: Annotated[float, Field(gt=0, lt=1)] = 1 / 3
    cache_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    noticed_after: Annotated[float, Field(ge=0)] = 2.0


class RegionLost(_Lasting):
    """All pods of `region` are gone; after `noticed_after` its clients go to the other regions, by those shares, over
    a way that is `farther` (round trip)."""

    event: Literal["region-lost"]
    region: str
    noticed_after: Annotated[float, Field(ge=0)] = 5.0
    farther: Annotated[float, Field(ge=0, le=1)] = 0.08


class Slow(_Lasting):
    """Everything there takes `factor` times as long."""

    event: Literal["slow"]
    dependency: Literal["cache", "store"]
    factor: Annotated[float, Field(gt=0, le=100_000)]


class RetryStorm(_Lasting):
    """Clients everywhere retry `retries` times, at once, whatever they did before."""

    event: Literal["retry-storm"]
    region: None = None
    retries: Annotated[int, Field(ge=0, le=10)] = 3


class HotKey(_Lasting):
    """One key, the least popular until then, takes `share` of the requests."""

    event: Literal["hot-key"]
    share: Annotated[float, Field(gt=0, lt=1)] = 0.2


Event = Annotated[Surge | Flush | ZoneLost | RegionLost | Slow | RetryStorm | HotKey, Field(discriminator="event")]


class Months(Strict):
    """Instead of once, the scenario is played for each month's peak: with nothing lost, and with each event alone.
    It holds while the p95 of what is answered is within `p95` and 99 % are answered in time."""

    count: Annotated[int, Field(ge=1, le=60)] = 12
    growth: Annotated[float, Field(gt=-1, le=10)]  # of the rate, each month
    record_growth: Annotated[float, Field(gt=-1, le=10)] = 0.0
    p95: Seconds = 0.1


class Scenario(Strict):
    """`scale` k: each region is played with 1/k of its rate, pods, servers, records and entries."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    about: str = ""
    duration: Annotated[int, Field(ge=1, le=86400)]
    warm_up: Annotated[int, Field(ge=0, le=3600)] = 10
    seed: Annotated[int, Field(ge=0)] = 1
    scale: Annotated[int, Field(ge=1, le=1000)] = 1
    workload: Workload
    client: Client = Client()
    regions: Annotated[tuple[Region, ...], Field(min_length=1, max_length=32)]
    cache_ttl: Seconds = 600.0
    times: Times = Times()
    balancing: Balancing = Balancing.LEAST_IN_FLIGHT
    events: tuple[Event, ...] = ()
    protections: Protections = Protections()
    months: Months | None = None

    @model_validator(mode="after")
    def _regions_make_sense(self) -> Self:
        names = [region.name for region in self.regions]
        if len(set(names)) != len(names):
            raise ValueError(f"two regions have one name: {', '.join(names)}")
        total = sum(region.share for region in self.regions)
        if abs(total - 1) > 0.001:
            raise ValueError(f"the regions' shares sum to {total:g}; expected 1")
        return self

    @model_validator(mode="after")
    def _events_happen(self) -> Self:
        names = [region.name for region in self.regions]
        for event in self.events:
            if event.at >= self.duration:
                raise ValueError(f"{event.event} is at {event.at:g} s; expected before the end, {self.duration} s")
            if event.region is not None and event.region not in names:
                raise ValueError(f"{event.event} is in {event.region}; expected one of {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _keys_fit_in_memory(self) -> Self:
        most = MOST_KEYS // len(self.regions) * self.scale
        if self.workload.records > most:
            raise ValueError(
                f"{self.workload.records} records in {len(self.regions)} regions at scale {self.scale} are too many to "
                f"play; expected at most {most}, or a larger scale"
            )
        return self

    @property
    def patience(self) -> float:
        """The longest that a request may be under way (s): all its tries, and all waits between them."""
        storms = (event.retries for event in self.events if isinstance(event, RetryStorm))
        tries = 1 + max(self.client.retries, *storms, 0)
        return float(tries * self.client.timeout + self.client.backoff * (2**self.client.retries - 1))

    @model_validator(mode="after")
    def _requests_end(self) -> Self:
        least = self.patience * (2 if self.months else 1)  # of months the second half is judged
        if self.duration <= least:
            raise ValueError(
                f"duration is {self.duration} s, but a request may take {self.patience:g} s to fail, "
                f"with all its tries; expected more than {least:g} s"
            )
        return self

    @model_validator(mode="after")
    def _scale_leaves_something(self) -> Self:
        for region in self.regions:
            least = min(region.pods, region.store_servers)
            if self.scale > least:
                raise ValueError(
                    f"scale is {self.scale}, but {region.name} has {region.pods} pods and {region.store_servers} store "
                    f"servers; expected at most {least}"
                )
        return self


def scenario_of(data: Any, where: str) -> Scenario:
    """From what YAML or JSON held. Raises InputError, a sentence that names the field; `where` is the file's name."""
    if not isinstance(data, dict):
        raise InputError(f"{where} holds {type(data).__name__}; expected the fields of a scenario")
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{where}: {sentence(error, tags=_EVENTS)}") from None


_EVENTS = ("surge", "flush", "zone-lost", "region-lost", "slow", "retry-storm", "hot-key")

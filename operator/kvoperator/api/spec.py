"""KVCluster.spec as pydantic models: the single source of the CRD's schema, of `kvctl lint` and of what the core reads.

Every list, map and string is bounded, because the API server prices CEL rules by their worst case.
What crosses fields is in `rules.py`.
"""

from collections import Counter
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic.config import JsonDict

from kvoperator.api.units import COUNT_PATTERN, DURATION_PATTERN, QUANTITY_PATTERN

GROUP = "kvcluster.dev"
VERSION = "v1alpha1"
KIND = "KVCluster"
PLURAL = "kvclusters"

NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
ZONE_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
OBJECT_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
PERCENTILE_PATTERN = r"^[1-9][0-9]?(\.[0-9]{1,3})?$"
PERCENTILE_HELP = "is not a percentile; write a number from 1 to 99.999, such as 95 or 99.9"
NAMESPACE_PATTERN = r"^(\*|[a-z0-9]([-_.a-z0-9]{0,61}[a-z0-9])?)$"
HOST_PATTERN = r"^[A-Za-z0-9._-]+(:[0-9]{1,5})?$"
KEYSPACE_PATTERN = r"^[a-z][a-z0-9_]{0,47}$"
TIMES = (
    *("clientNetwork", "gateway", "zoneHop", "crossZoneHop", "podRead", "podMiss", "podWrite", "cache"),
    *("storeRead", "storeWrite"),
)
TIME_PATTERN = rf"^({'|'.join(TIMES)})$"
TIME_HELP = f"is not a time that is measured; there are {', '.join(TIMES)}"
IMAGE_PATTERN = (
    r"^[a-z0-9][-a-z0-9._]*(:[0-9]{1,5})?(/[a-z0-9][-a-z0-9._]*)*"
    r"(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?$"
)

Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1, max_length=20)]
Zone = Annotated[str, Field(pattern=ZONE_PATTERN, min_length=1, max_length=63)]
ObjectName = Annotated[str, Field(pattern=OBJECT_PATTERN, min_length=1, max_length=63)]
Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=20)]
Quantity = Annotated[str, Field(pattern=QUANTITY_PATTERN, max_length=20)]
Image = Annotated[str, Field(pattern=IMAGE_PATTERN, min_length=1, max_length=256)]
Percentile = Annotated[str, Field(pattern=PERCENTILE_PATTERN)]
Subject = Annotated[str, Field(min_length=1, max_length=128)]
Host = Annotated[str, Field(pattern=HOST_PATTERN, min_length=1, max_length=253)]

T = TypeVar("T")


def _distinct(items: list[T]) -> list[T]:
    """What `x-kubernetes-list-type` makes the API server ask: what has a name differs by it, all else by value."""
    counts = Counter(item.name if isinstance(item, Region | Namespace) else str(item) for item in items)
    for name, count in counts.most_common(1):
        if count > 1:
            raise ValueError(f"{name} is given {count} times; each may be given once")
    return items


SET: JsonDict = {"x-kubernetes-list-type": "set"}
BY_NAME: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


class Strict(BaseModel):
    """Frozen; unknown fields are refused, as the API server's strict validation does; written in camelCase."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        alias_generator=lambda name: (parts := name.split("_"))[0] + "".join(part.title() for part in parts[1:]),
    )


class Release(Strict):
    """What runs: changing it starts a rollout."""

    image: Image = Field(description="Image of the service. A tag that is never reused, or a digest.")


class GatewayRef(Strict):
    """A Gateway (gateway.networking.k8s.io)."""

    name: ObjectName = Field(description="Name of the Gateway.")
    namespace: ObjectName | None = Field(default=None, description="Default: the KVCluster's own namespace.")


AUTO: Literal["auto"] = "auto"


def _number_or_word(value: Any) -> str:
    return "[word]" if isinstance(value, str) else "[number]"


Replicas = Annotated[
    Annotated[int, Field(ge=1, le=500), Tag("[number]")] | Annotated[Literal["auto"], Tag("[word]")],
    Discriminator(_number_or_word),
]
Count = Annotated[
    Annotated[int, Field(ge=1, le=999_999_999_999), Tag("[number]")]
    | Annotated[str, Field(pattern=COUNT_PATTERN), Tag("[word]")],
    Discriminator(_number_or_word),
]
Zones = Annotated[list[Zone], Field(min_length=1, max_length=9, json_schema_extra=SET), AfterValidator(_distinct)]


class Region(Strict):
    """One region: nodes labelled topology.kubernetes.io/region=<name> serve it."""

    name: Name = Field(description="Name of the region: the value of the nodes' topology.kubernetes.io/region.")
    zones: Zones = Field(
        description="Values of topology.kubernetes.io/zone inside the region; pods are spread over them."
    )
    replicas: Replicas = Field(
        default=2,
        description="Pods that serve when no rollout is under way. `auto`: as many as `workload` needs to hold "
        "slo.latency at its peak with a zone, or another region, lost.",
    )
    min_replicas: Annotated[int, Field(ge=1, le=500)] = Field(default=2, description="The least that `auto` may be.")
    max_replicas: Annotated[int, Field(ge=1, le=500)] = Field(default=100, description="The most that `auto` may be.")
    share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Share of `workload` that comes in here. Default: all regions have the same."
    )
    gateway: GatewayRef | None = Field(
        default=None,
        description="Where clients come in. Default: the Gateway of the region's name in the KVCluster's namespace.",
    )


Regions = Annotated[
    list[Region], Field(min_length=1, max_length=16, json_schema_extra=BY_NAME), AfterValidator(_distinct)
]


class Cache(Strict):
    """The region's cache: independent Valkey or Redis servers (shards); losing one costs misses, never data."""

    image: Image = Field(default="valkey:9.1", description="Image of Valkey or Redis.")
    shards: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Servers a region, each with a share of the keys. While a rollout changes the number, and for "
        "`ttl` after, reads without a session may be as old as `ttl`.",
    )
    memory: Quantity = Field(default="64Mi", description="Memory of each shard; the least used entries make room.")
    ttl: Duration = Field(default="10m", description="How long an entry may be served without asking the store.")
    stale: Duration = Field(
        default="1h", description="How long beyond `ttl` an entry is kept, to answer, marked, while the store fails."
    )


class Embedded(Strict):
    """SQLite on one volume a region. For development: every pod of the region must reach the same machine's disk."""

    size: Quantity = Field(default="1Gi", description="Size of each region's volume. It may grow, never shrink.")


class Cassandra(Strict):
    """Cassandra nodes of the operator's making: one datacenter a region, named after it, with one rack."""

    image: Image = Field(default="cassandra:5.0", description="Image of Cassandra: the official one, or one like it.")
    nodes_per_region: Annotated[int, Field(ge=1, le=50)] = Field(default=3, description="Nodes in each region.")
    replication_factor: Annotated[int, Field(ge=1, le=9)] = Field(
        default=3, description="Copies of each record in each region; a quorum of them acknowledges a write."
    )
    size: Quantity = Field(default="10Gi", description="Size of each node's volume.")
    memory: Quantity = Field(default="4Gi", description="Memory of each node; half of it is Java's heap.")


class External(Strict):
    """A Cassandra that others run, with a datacenter for each region."""

    contact_points: Annotated[
        dict[str, Annotated[list[Host], Field(min_length=1, max_length=16)]], Field(min_length=1, max_length=16)
    ] = Field(description="Region -> host or host:port of some of its nodes; the rest is learnt from them.")
    datacenters: Annotated[dict[str, Annotated[str, Field(min_length=1, max_length=63)]], Field(max_length=16)] = Field(
        default={}, description="Region -> Cassandra's name of its datacenter. Default: the region's name."
    )
    keyspace: Annotated[str, Field(pattern=KEYSPACE_PATTERN, min_length=1, max_length=48)] = Field(
        default="kv", description="Keyspace of the tables; made if it is not there."
    )
    replication_factor: Annotated[int, Field(ge=1, le=9)] = Field(
        default=3, description="Copies of each record in each region's datacenter, set when the keyspace is made."
    )
    secret_name: ObjectName | None = Field(
        default=None, description="Secret with `username` and `password`, and `ca.crt` for `tls`, as far as needed."
    )
    tls: bool = Field(default=False, description="Speak TLS, and check the nodes against `ca.crt` of the Secret.")


class Storage(Strict):
    """Where records are kept: exactly one of embedded, cassandra and external, for good."""

    embedded: Embedded | None = Field(default=None, description=Embedded.__doc__)
    cassandra: Cassandra | None = Field(default=None, description=Cassandra.__doc__)
    external: External | None = Field(default=None, description=External.__doc__)


class WriteMode(StrEnum):
    LWW = "lww"  # every region takes writes; of concurrent ones the highest version wins
    CAS = "cas"  # every write is a compare-and-set, in the home region


class Elsewhere(StrEnum):
    WAIT = "wait"
    REFUSE = "refuse"
    MARK = "mark"


Subjects = Annotated[list[Subject], Field(max_length=64, json_schema_extra=SET), AfterValidator(_distinct)]


class Access(Strict):
    """Who may read and write: subjects as `auth` knows them; `*` is everybody who is let in."""

    read: Subjects = Field(default=["*"], description="Who may read.")
    write: Subjects = Field(default=["*"], description="Who may write.")


class Namespace(Strict):
    """What the records of a namespace may be, and who may touch them."""

    name: Annotated[str, Field(pattern=NAMESPACE_PATTERN, min_length=1, max_length=63)] = Field(
        description="Name of the namespace; `*` stands for all that are not listed."
    )
    write_mode: WriteMode = Field(
        default=WriteMode.LWW,
        description="`lww`: all regions take writes, the highest version wins. `cas`: `home` takes them, each a "
        "compare-and-set.",
    )
    home: Name | None = Field(default=None, description="Region that takes the writes of a `cas` namespace.")
    ttl: Duration = Field(default="0s", description="Life of records whose writer names none; 0s is for ever.")
    value_bytes: Annotated[int, Field(ge=1, le=16 * 2**20)] | None = Field(
        default=None, description="Largest value, in bytes. Default: limits.valueBytes."
    )
    requests_per_second: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=0, description="Requests that each pod takes; more are answered 429. 0 is no limit."
    )
    session_elsewhere: Elsewhere = Field(
        default=Elsewhere.WAIT,
        description="What a read does when its region has not got what the session saw in another: wait within the "
        "deadline, refuse, or answer and mark the answer.",
    )
    access: Access = Field(default=Access(), description=Access.__doc__)


NamespaceList = Annotated[
    list[Namespace], Field(min_length=1, max_length=64, json_schema_extra=BY_NAME), AfterValidator(_distinct)
]


class Auth(Strict):
    """Who is let in. Without it, everybody who reaches the Gateway; TLS ends there, too."""

    secret_name: ObjectName = Field(description="Secret whose key `auth.json` says who is who (docs/service-api.md).")


class Limits(Strict):
    """What a request may carry."""

    value_bytes: Annotated[int, Field(ge=1, le=16 * 2**20)] = Field(
        default=2**20, description="Largest value, in bytes; more is answered 413."
    )
    id_bytes: Annotated[int, Field(ge=1, le=2048)] = Field(default=512, description="Longest id, in bytes.")


class Slo(Strict):
    """The promise to clients, per region: what the gates judge by."""

    availability: Annotated[float, Field(gt=0, lt=100)] = Field(
        default=99.9, description="Percent of requests that are not answered 5xx."
    )
    latency: Annotated[dict[Percentile, Duration], Field(min_length=1, max_length=4)] = Field(
        default={"95": "100ms", "99": "250ms"},
        description="Percentile -> the time within which that share of the requests is answered.",
    )


class Time(Strict):
    """A time that was measured."""

    mean_ms: Annotated[float, Field(gt=0, le=60_000)] = Field(description="Its mean, in milliseconds.")
    cv: Annotated[float, Field(gt=0, le=10)] = Field(
        default=0.5, description="Its coefficient of variation: standard deviation over mean."
    )


class Workload(Strict):
    """What clients do, world-wide: what `replicas: auto` and `kvctl plan` size for. No part of it is a revision's."""

    peak_qps: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        alias="peakQPS", description="Requests a second in the busiest minute of the day."
    )
    mean_to_peak: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="The day's mean rate as a share of its peak."
    )
    reads: Annotated[float, Field(ge=0, le=1)] = Field(default=0.95, description="Share of the requests that read.")
    value_bytes: Annotated[int, Field(ge=1, le=16 * 2**20)] = Field(
        default=2048, description="Mean size of a value, in bytes."
    )
    records: Count = Field(default=1_000_000, description="Records that are kept, such as 200M.")
    skew: Annotated[float, Field(gt=0, le=3)] = Field(
        default=0.99, description="Exponent of Zipf's law of the records' popularity; near 0 all are equally popular."
    )
    growth_per_month: Annotated[float, Field(gt=-1, le=10)] = Field(
        default=0, description="Growth of the records, a month: 0.05 is 5 %. `kvctl plan` shows where it leads."
    )
    qps_growth_per_month: Annotated[float, Field(gt=-1, le=10)] | None = Field(
        default=None, description="Growth of the requests. Default: growthPerMonth."
    )
    service: Annotated[dict[Annotated[str, Field(pattern=TIME_PATTERN)], Time], Field(max_length=len(TIMES))] = Field(
        default={},
        description="Times as `kvctl calibrate` measured them, in place of the planner's guesses: "
        f"{', '.join(TIMES)}; those of the pod are CPU of its event loop.",
    )


class Step(Strict):
    """One step of a rollout."""

    traffic: Annotated[int, Field(ge=1, le=99)] = Field(description="Percent of each region's requests for the canary.")
    hold: Duration = Field(default="5m", description="How long the step is held, and judged, before the next.")


class Gate(StrEnum):
    AVAILABILITY = "availability"
    LATENCY = "latency"


Gates = Annotated[list[Gate], Field(min_length=1, max_length=2, json_schema_extra=SET), AfterValidator(_distinct)]


class OnFailure(StrEnum):
    ROLLBACK = "rollback"
    FREEZE = "freeze"


class Rollout(Strict):
    """How a release gets its traffic, and what takes it away again."""

    steps: Annotated[list[Step], Field(min_length=1, max_length=20)] = Field(
        default=[Step(traffic=5, hold="5m"), Step(traffic=25, hold="10m"), Step(traffic=50, hold="10m")],
        description="Shares of the traffic that the canary gets, one after the other, before it gets all.",
    )
    bake: Duration = Field(default="10m", description="Time at 100 % during which the old revision is kept ready.")
    gates: Gates = Field(default=[Gate.AVAILABILITY, Gate.LATENCY], description="What each look judges.")
    interval: Duration = Field(default="10s", description="Time between two looks at the gates.")
    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=100, description="Requests that canary and stable each must have answered in a step before it can pass."
    )
    on_failure: OnFailure = Field(default=OnFailure.ROLLBACK, description="What a Fail verdict does.")
    no_data_deadline: Duration = Field(
        default="1h", description="How long NoData or Error verdicts may hold a step before onNoData is done."
    )
    on_no_data: OnFailure = Field(default=OnFailure.ROLLBACK, description="What happens at the noDataDeadline.")
    progress_deadline: Duration = Field(
        default="10m", description="How long canary pods may take to become ready (and seen by Prometheus)."
    )


class DeletionPolicy(StrEnum):
    RETAIN = "Retain"
    DELETE = "Delete"


class KVClusterSpec(Strict):
    """What the user wants: releases, regions, and how releases reach them."""

    release: Release = Field(description=Release.__doc__)
    regions: Regions = Field(description="The regions that serve. Order is irrelevant.")
    cache: Cache = Field(default=Cache(), description=Cache.__doc__)
    storage: Storage = Field(default=Storage(embedded=Embedded()), description=Storage.__doc__)
    namespaces: NamespaceList = Field(
        default=[Namespace(name="*")], description="The namespaces there are. A change is a rollout, with its gates."
    )
    auth: Auth | None = Field(default=None, description=Auth.__doc__)
    limits: Limits = Field(default=Limits(), description=Limits.__doc__)
    slo: Slo = Field(default=Slo(), description=Slo.__doc__)
    workload: Workload | None = Field(default=None, description=Workload.__doc__)
    rollout: Rollout = Field(default=Rollout(), description=Rollout.__doc__)
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.RETAIN, description="What happens to the regions' data when the KVCluster is deleted."
    )

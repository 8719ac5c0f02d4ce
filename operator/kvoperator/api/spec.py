"""KVCluster.spec as pydantic models: the single source of the CRD's schema, of `kvctl lint` and of what the core reads.

Every list, map and string is bounded, because the API server prices CEL rules by their worst case.
What crosses fields is in `rules.py`.
"""

from collections import Counter
from enum import StrEnum
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from kvoperator.api.units import DURATION_PATTERN, QUANTITY_PATTERN

GROUP = "kvcluster.dev"
VERSION = "v1alpha1"
KIND = "KVCluster"
PLURAL = "kvclusters"

NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
ZONE_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
OBJECT_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
PERCENTILE_PATTERN = r"^[1-9][0-9]?(\.[0-9]{1,3})?$"
PERCENTILE_HELP = "is not a percentile; write a number from 1 to 99.999, such as 95 or 99.9"
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

T = TypeVar("T")


def _distinct(items: list[T]) -> list[T]:
    """What `x-kubernetes-list-type` makes the API server ask: regions differ by name, all else by value."""
    counts = Counter(item.name if isinstance(item, Region) else str(item) for item in items)
    name, count = counts.most_common(1)[0]
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


Zones = Annotated[list[Zone], Field(min_length=1, max_length=9, json_schema_extra=SET), AfterValidator(_distinct)]


class Region(Strict):
    """One region: nodes labelled topology.kubernetes.io/region=<name> serve it."""

    name: Name = Field(description="Name of the region: the value of the nodes' topology.kubernetes.io/region.")
    zones: Zones = Field(
        description="Values of topology.kubernetes.io/zone inside the region; pods are spread over them."
    )
    replicas: Annotated[int, Field(ge=1, le=500)] = Field(
        default=2, description="Pods that serve when no rollout is under way."
    )
    gateway: GatewayRef | None = Field(
        default=None,
        description="Where clients come in. Default: the Gateway of the region's name in the KVCluster's namespace.",
    )


Regions = Annotated[
    list[Region], Field(min_length=1, max_length=16, json_schema_extra=BY_NAME), AfterValidator(_distinct)
]


class Cache(Strict):
    """The region's cache: Valkey or Redis, one StatefulSet a region."""

    image: Image = Field(default="valkey:9.1", description="Image of Valkey or Redis.")
    memory: Quantity = Field(default="64Mi", description="Memory of the cache; the least used entries make room.")
    ttl: Duration = Field(default="10m", description="How long an entry may be served without asking the store.")


class Embedded(Strict):
    """SQLite on one volume a region. For development: every pod of the region must reach the same machine's disk."""

    size: Quantity = Field(default="1Gi", description="Size of each region's volume. It may grow, never shrink.")


class Storage(Strict):
    """Where records are kept."""

    embedded: Embedded = Field(default=Embedded(), description=Embedded.__doc__)


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
    storage: Storage = Field(default=Storage(), description=Storage.__doc__)
    limits: Limits = Field(default=Limits(), description=Limits.__doc__)
    slo: Slo = Field(default=Slo(), description=Slo.__doc__)
    rollout: Rollout = Field(default=Rollout(), description=Rollout.__doc__)
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.RETAIN, description="What happens to the regions' data when the KVCluster is deleted."
    )

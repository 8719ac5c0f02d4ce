"""KVCluster.spec as pydantic models: the single source of the CRD's schema, of `kvctl lint` and of what the core reads.

Every list, map and string is bounded, because the API server prices CEL rules by their worst case.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from kvoperator.api.units import DURATION_PATTERN, QUANTITY_PATTERN

GROUP = "kvcluster.dev"
VERSION = "v1alpha1"
KIND = "KVCluster"
PLURAL = "kvclusters"

Name = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=20)]
Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=20)]
Quantity = Annotated[str, Field(pattern=QUANTITY_PATTERN, max_length=20)]
Image = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[a-z0-9]([-a-z0-9._/:@]*[A-Za-z0-9_.\-])?$")]


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
    """The Gateway (gateway.networking.k8s.io) through which a region's clients come."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    namespace: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None, description="Default: the KVCluster's own namespace."
    )


class Region(Strict):
    """One region: nodes labelled topology.kubernetes.io/region=<name> serve it."""

    name: Name
    zones: Annotated[list[Name], Field(min_length=1, max_length=9)] = Field(
        description="Values of topology.kubernetes.io/zone inside the region; pods are spread over them."
    )
    replicas: Annotated[int, Field(ge=1, le=500)] = Field(default=2, description="Pods that serve when no rollout is under way.")
    gateway: GatewayRef | None = Field(
        default=None, description="Default: the Gateway of the region's name in the KVCluster's namespace."
    )


class Cache(Strict):
    """The region's cache: Valkey or Redis, one StatefulSet a region."""

    image: Image = "valkey:9.1"
    memory: Quantity = "64Mi"
    ttl: Duration = "10m"


class Embedded(Strict):
    """SQLite on one volume a region. For development: every pod of the region must reach the same machine's disk."""

    size: Quantity = "1Gi"


class Storage(Strict):
    embedded: Embedded = Embedded()


class Limits(Strict):
    """What a request may carry."""

    value_bytes: Annotated[int, Field(ge=1, le=16 * 2**20)] = 2**20
    id_bytes: Annotated[int, Field(ge=1, le=2048)] = 512


class Slo(Strict):
    """The promise to clients, per region: what the gates judge by."""

    availability: Annotated[float, Field(gt=0, lt=100)] = Field(
        default=99.9, description="Percent of requests that are not answered 5xx."
    )
    latency: Annotated[
        dict[Annotated[str, Field(pattern=r"^[1-9][0-9]?(\.[0-9]{1,3})?$", max_length=6)], Duration],
        Field(min_length=1, max_length=4),
    ] = Field(
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


class OnFailure(StrEnum):
    ROLLBACK = "rollback"
    FREEZE = "freeze"


class Rollout(Strict):
    """How a release gets its traffic, and what takes it away again."""

    steps: Annotated[list[Step], Field(min_length=1, max_length=20)] = [
        Step(traffic=5, hold="5m"),
        Step(traffic=25, hold="10m"),
        Step(traffic=50, hold="10m"),
    ]
    bake: Duration = Field(default="10m", description="Time at 100 % during which the old revision is kept ready.")
    gates: Annotated[list[Gate], Field(min_length=1, max_length=2)] = [Gate.AVAILABILITY, Gate.LATENCY]
    interval: Duration = Field(default="10s", description="Time between two looks at the gates.")
    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=100, description="Requests that canary and stable each must have answered in a step before it can pass."
    )
    on_failure: OnFailure = Field(default=OnFailure.ROLLBACK, description="What a Fail verdict does.")
    no_data_deadline: Duration = Field(
        default="1h", description="How long NoData or Error verdicts may hold a step before onNoData is done."
    )
    on_no_data: OnFailure = OnFailure.ROLLBACK
    progress_deadline: Duration = Field(
        default="10m", description="How long canary pods may take to become ready (and seen by Prometheus)."
    )


class DeletionPolicy(StrEnum):
    RETAIN = "Retain"
    DELETE = "Delete"


class KVClusterSpec(Strict):
    release: Release
    regions: Annotated[list[Region], Field(min_length=1, max_length=16)]
    cache: Cache = Cache()
    storage: Storage = Storage()
    limits: Limits = Limits()
    slo: Slo = Slo()
    rollout: Rollout = Rollout()
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.RETAIN, description="What happens to the regions' data when the KVCluster is deleted."
    )

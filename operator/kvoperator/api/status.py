"""KVCluster.status as pydantic models. The rollout's whole state lives here: kill the operator at any moment and the
next one goes on from it.

Written by the operator alone; nobody steers by editing it (see `core/rollout/requests.py` for how people do).
Write it as `model_dump(mode="json", by_alias=True, exclude_none=True)`: that is what the CRD's schema accepts.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, FiniteFloat
from pydantic.config import JsonDict

from kvoperator.api.spec import BY_NAME, Strict


class Phase(StrEnum):
    """Where the rollout stands. See docs/rollout.md for the table of transitions."""

    PROVISIONING = "Provisioning"  # first release: nothing to compare with, it serves as soon as it can
    PREFLIGHT = "Preflight"  # canary pods start; weight 0
    STEPPING = "Stepping"  # canary holds a step's share and is judged against stable
    BAKING = "Baking"  # canary holds 100 %, stable is kept ready
    DONE = "Done"
    ROLLING_BACK = "RollingBack"  # weight 0 asked for, not yet confirmed in every region
    ROLLED_BACK = "RolledBack"
    FROZEN = "Frozen"  # everything stays as it is until a person decides


class Outcome(StrEnum):
    PASS = "Pass"  # noqa: S105
    FAIL = "Fail"
    NO_DATA = "NoData"
    ERROR = "Error"


class Revision(Strict):
    """What a set of pods runs. Enough to re-create the pods after the spec has moved on."""

    name: str = Field(description="Hash of the rest.")
    image: str = Field(description="Image of the service.")
    config: dict[str, str] = Field(
        default={}, description="The pods' KV_* settings that do not differ between regions."
    )
    secrets: dict[str, str] = Field(default={}, description="What for (`auth`, `cassandra`) -> Secret the pods read.")
    cache_shards: int = Field(default=1, description="Shards of each region's cache.")


class Counts(Strict):
    """Requests of one arm since the step began."""

    total: FiniteFloat = Field(default=0, description="All requests.")
    bad: FiniteFloat = Field(default=0, description="Those that failed, or were too slow.")


class Verdict(Strict):
    """What one gate said of one region at one look, and what it saw."""

    region: str = Field(description="Region that was looked at.")
    gate: str = Field(description="Gate that looked.")
    outcome: Outcome = Field(description="What it said.")
    at: AwareDatetime = Field(description="When it looked.")
    canary: Counts = Field(default=Counts(), description="Requests answered by the canary.")
    stable: Counts = Field(default=Counts(), description="Requests answered by the stable revision.")
    evidence: FiniteFloat | None = Field(default=None, description="log10 of the e-value; see core/judge.")
    bound: FiniteFloat | None = Field(default=None, description="log10 of the e-value that means Fail.")
    query: str = Field(default="", description="What Prometheus was asked.")
    message: str = Field(default="", description="The outcome in a sentence.")


class Hold(Strict):
    """Why a rollout is not moving though its time is up, or before it may start its clock."""

    reason: str = Field(description="One word for programs.")
    message: str = Field(description="A sentence for people.")
    since: AwareDatetime = Field(description="When it began.")


class Refusal(Strict):
    """A revision that was rolled back, and why; not tried again unless somebody asks (`kvctl rollout retry`)."""

    revision: str = Field(description="Name of the revision.")
    image: str = Field(description="Its image.")
    reason: str = Field(description="One word for programs.")
    message: str = Field(description="A sentence for people.")
    at: AwareDatetime = Field(description="When it was refused.")


class RolloutStatus(Strict):
    """The state of the rollout machine."""

    phase: Phase = Field(default=Phase.PROVISIONING, description="Where the rollout stands.")
    stable: Revision | None = Field(default=None, description="The revision that serves by default.")
    canary: Revision | None = Field(default=None, description="The revision on trial.")
    step: int = Field(default=0, description="Index into spec.rollout.steps.")
    traffic: int = Field(default=0, description="Percent asked for the canary.")
    phase_started_at: AwareDatetime | None = Field(default=None, description="When the phase began.")
    step_started_at: AwareDatetime | None = Field(
        default=None, description="When the step's share was confirmed in every region; null while it is not."
    )
    looked_at: AwareDatetime | None = Field(default=None, description="Last look at the gates.")
    unready_since: AwareDatetime | None = Field(default=None, description="Since when canary pods are awaited.")
    no_data_since: AwareDatetime | None = Field(default=None, description="Since when a gate has had no answer.")
    hold: Hold | None = Field(default=None, description="Why the rollout is not moving.")
    paused_by: str | None = Field(default=None, description="Who paused it.")
    refused: Refusal | None = Field(default=None, description="The last revision that was rolled back.")
    # 16 regions, each judged on availability and on up to 4 percentiles
    verdicts: Annotated[list[Verdict], Field(max_length=80)] = Field(default=[], description="Of the last look.")
    last_request: str | None = Field(default=None, description="Id of the last request carried out.")


class RegionLatency(Strict):
    """What the pods' own clocks measured, and what the planner says of that load; rewritten when it has moved."""

    qps: FiniteFloat = Field(description="Requests a second, of the last minutes.")
    predicted_p95_ms: FiniteFloat | None = Field(default=None, description="What the planner expects at that load.")
    observed_p95_ms: FiniteFloat | None = Field(default=None, description="What was measured. Absent without traffic.")
    at: AwareDatetime = Field(description="When.")


class RegionStatus(Strict):
    """One region, as it is seen."""

    name: str = Field(description="Name of the region.")
    replicas: int | None = Field(
        default=None, description="Pods that serve when no rollout is under way: what `auto` came to, if it is that."
    )
    ready: int = Field(default=0, description="Pods ready, of all revisions.")
    wanted: int = Field(default=0, description="Pods wanted, of all revisions.")
    weights: dict[str, int] = Field(default={}, description="Revision -> percent, as the gateway confirmed it.")
    latency: RegionLatency | None = Field(default=None, description="Predicted and observed; with spec.workload only.")


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Strict):
    """A Kubernetes condition."""

    type: str = Field(description="Ready, Reconciling, Stalled, Paused, Sized or AsPredicted.")
    status: ConditionStatus = Field(description="Whether it holds.")
    reason: str = Field(description="One word for programs.")
    message: str = Field(description="A sentence for people.")
    last_transition_time: AwareDatetime = Field(description="When the status last changed.")
    observed_generation: int = Field(description="Generation of the spec that this is about.")


BY_TYPE: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


class KVClusterStatus(Strict):
    """What is, as far as the operator knows."""

    observed_generation: int = Field(default=0, description="Generation of the spec that this status is about.")
    phase: Phase = Field(default=Phase.PROVISIONING, description="Where the rollout stands.")
    release: str = Field(default="", description="Image that serves by default (stable).")
    regions_ready: str = Field(default="", description="Regions ready / regions wanted.")
    traffic: str = Field(default="", description="Canary's share, such as 25%.")
    regions: list[RegionStatus] = Field(default=[], description="Each region.", json_schema_extra=BY_NAME)
    rollout: RolloutStatus = Field(default=RolloutStatus(), description="The state of the rollout machine.")
    conditions: list[Condition] = Field(default=[], description="Summary for tools.", json_schema_extra=BY_TYPE)

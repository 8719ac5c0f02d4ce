"""KVCluster.status as pydantic models. The rollout's whole state lives here: kill the operator at any moment and the next one goes on from it.

Written by the operator alone; nobody steers by editing it (see `core/rollout/requests.py` for how people do).
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from kvoperator.api.spec import Strict


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
    """What a set of pods runs; `name` is a hash of the rest. Enough to re-create the pods after the spec has moved on."""

    name: str
    image: str
    config: dict[str, str] = Field(default={}, description="The pods' KV_* settings that do not differ between regions.")


class Counts(Strict):
    """Requests of one arm since the step began."""

    total: float = 0
    bad: float = 0


class Verdict(Strict):
    """What one gate said of one region at one look, and what it saw."""

    region: str
    gate: str
    outcome: Outcome
    at: datetime
    canary: Counts = Counts()
    stable: Counts = Counts()
    evidence: float | None = Field(default=None, description="log10 of the e-value; see core/judge.")
    bound: float | None = Field(default=None, description="log10 of the e-value that means Fail.")
    query: str = ""
    message: str = ""


class Hold(Strict):
    """Why a rollout is not moving though its time is up, or before it may start its clock."""

    reason: str
    message: str
    since: datetime


class Refusal(Strict):
    """A revision that was rolled back, and why; it is not tried again unless somebody asks (`kvctl rollout retry`)."""

    revision: str
    image: str
    reason: str
    message: str
    at: datetime


class RolloutStatus(Strict):
    phase: Phase = Phase.PROVISIONING
    stable: Revision | None = None
    canary: Revision | None = None
    step: int = Field(default=0, description="Index into spec.rollout.steps.")
    traffic: int = Field(default=0, description="Percent asked for the canary.")
    phase_started_at: datetime | None = None
    step_started_at: datetime | None = Field(
        default=None, description="When the step's share was confirmed in every region; null while it is not."
    )
    looked_at: datetime | None = Field(default=None, description="Last look at the gates.")
    unready_since: datetime | None = Field(default=None, description="Since when canary pods are awaited.")
    no_data_since: datetime | None = Field(default=None, description="Since when a gate has had no answer.")
    hold: Hold | None = None
    paused_by: str | None = None
    refused: Refusal | None = None
    verdicts: Annotated[list[Verdict], Field(max_length=64)] = []
    last_request: str | None = Field(default=None, description="Id of the last request carried out.")


class RegionStatus(Strict):
    name: str
    ready: int = Field(default=0, description="Pods ready, of all revisions.")
    wanted: int = 0
    weights: dict[str, int] = Field(default={}, description="Revision -> percent, as the gateway confirmed it.")


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Strict):
    type: str
    status: ConditionStatus
    reason: str
    message: str
    last_transition_time: datetime
    observed_generation: int


class KVClusterStatus(Strict):
    observed_generation: int = 0
    phase: Phase = Phase.PROVISIONING
    release: str = Field(default="", description="Image that serves by default (stable).")
    regions_ready: str = Field(default="", description="Regions ready / regions wanted.")
    traffic: str = Field(default="", description="Canary's share, such as 25%.")
    regions: list[RegionStatus] = []
    rollout: RolloutStatus = RolloutStatus()
    conditions: list[Condition] = []

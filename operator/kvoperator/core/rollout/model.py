"""The rollout's words: what is seen (Facts), what is to be (Effects). State is `api.status.RolloutStatus`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kvoperator.api.spec import KVClusterSpec
from kvoperator.api.status import Revision, Verdict


class Verb(StrEnum):
    PROMOTE = "promote"  # skip the rest of the steps: straight to 100 % and bake
    ABORT = "abort"  # roll back now
    PAUSE = "pause"  # no step ends while paused; gates still look, a Fail still rolls back
    RESUME = "resume"
    RETRY = "retry"  # try a refused or frozen release again, from 0 %


@dataclass(frozen=True)
class Request:
    """What a person asked for. Replaying the same id does nothing."""

    id: str
    verb: Verb
    actor: str
    revision: str | None = None  # refused if the canary is another one by now


@dataclass(frozen=True)
class Malformed:
    """A request annotation that cannot be read. Its id is a hash of the text, so that it is complained about once."""

    id: str
    message: str


@dataclass(frozen=True)
class RevisionFacts:
    """One revision's pods in one region."""

    replicas: int = 0  # asked of the Deployment
    ready: int = 0
    scraped: int | None = 0  # pods whose metrics Prometheus has (`up`); None: Prometheus gave no answer
    problem: str = ""  # why pods are not ready, as far as the Deployment says


@dataclass(frozen=True)
class RegionFacts:
    revisions: Mapping[str, RevisionFacts] = field(default_factory=dict)
    weights: Mapping[str, int] | None = None  # revision -> percent, confirmed by the gateway; None: not confirmed


@dataclass(frozen=True)
class Facts:
    spec: KVClusterSpec
    wanted: Revision  # what the spec asks for
    regions: Mapping[str, RegionFacts]
    verdicts: tuple[Verdict, ...] = ()  # of the look that the last Effects asked for; empty: none was made
    request: Request | Malformed | None = None


@dataclass(frozen=True)
class RegionPlan:
    """What a region is to be now. Revisions that are not named go away once they carry no traffic."""

    replicas: Mapping[str, int]
    weights: Mapping[str, int]


@dataclass(frozen=True)
class Look:
    """A look at the gates that is due: count requests of both revisions since `since`."""

    canary: str
    stable: str | None  # None: nothing to compare with (bake), judge against the objective alone
    since: datetime


@dataclass(frozen=True)
class Event:
    """A Kubernetes Event about the KVCluster."""

    type: str  # Normal | Warning
    reason: str
    message: str


@dataclass(frozen=True)
class Effects:
    regions: Mapping[str, RegionPlan]
    look: Look | None = None  # due now: look, then call advance again with the verdicts
    events: tuple[Event, ...] = ()
    wake_at: datetime | None = None  # when time alone will change the answer

"""The closed set of reasons that holds, refusals and conditions give; docs/rollout.md explains each."""

from enum import StrEnum


class Reason(StrEnum):
    # why a rollout waits
    CANARY_NOT_READY = "CanaryNotReady"
    STABLE_NOT_READY = "StableNotReady"
    WEIGHTS_UNCONFIRMED = "WeightsUnconfirmed"
    NO_DATA = "NoData"
    METRICS_UNAVAILABLE = "MetricsUnavailable"
    PAUSED = "Paused"
    # why a release was refused or frozen, besides CanaryNotReady, NoData and MetricsUnavailable
    GATE_FAILED = "GateFailed"
    ABORTED = "Aborted"
    # where the cluster stands
    SERVING = "Serving"
    PROVISIONING = "Provisioning"
    REGIONS_NOT_READY = "RegionsNotReady"
    ROLLING_OUT = "RollingOut"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    FROZEN = "Frozen"
    # conditions that are not so
    SETTLED = "Settled"
    NOT_STALLED = "NotStalled"
    NOT_PAUSED = "NotPaused"
    # what the planner says; NoData, too
    PLAN_HOLDS = "PlanHolds"
    OUT_OF_REACH = "OutOfReach"
    BEYOND_MODEL = "BeyondModel"
    AGREES = "Agrees"
    PARTS_FROM_MODEL = "PartsFromModel"
    NO_TRAFFIC = "NoTraffic"
    # what a pass ran into
    INVALID_SPEC = "InvalidSpec"
    FIELD_CONFLICT = "FieldConflict"
    APPLY_FAILED = "ApplyFailed"


# Waits that every rollout goes through: shown in status, but not worth an Event of their own.
EVERYDAY = frozenset({Reason.CANARY_NOT_READY, Reason.WEIGHTS_UNCONFIRMED, Reason.PAUSED})

"""What status says, and when it does not change."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kvoperator.api.spec import KVClusterSpec, Region, Release, Workload
from kvoperator.api.status import Hold, KVClusterStatus, Phase, Refusal, RegionLatency, Revision, RolloutStatus
from kvoperator.core.latency import Comparison
from kvoperator.core.rollout.model import Event, RegionFacts, RevisionFacts
from kvoperator.core.rollout.reasons import Reason
from kvoperator.core.sizing import Size
from kvoperator.core.status import Outlook, Problem, flips, status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = Revision(name="old", image="kv:1"), Revision(name="new", image="kv:2")
SPEC = KVClusterSpec(
    release=Release(image="kv:1"),
    regions=[Region(name=name, zones=["a"], replicas=2) for name in ("eu-west", "us-east")],
)
SERVING = {name: RegionFacts({"old": RevisionFacts(2, 2, 2)}, {"old": 100}) for name in ("eu-west", "us-east")}
REFUSED = Refusal(revision="new", image="kv:2", reason="GateFailed", message="too slow", at=NOW)
DEFAULTS: dict[str, Any] = {
    "generation": 3,
    "spec": SPEC,
    "state": RolloutStatus(phase=Phase.DONE, stable=OLD),
    "regions": SERVING,
    "now": NOW,
    "previous": KVClusterStatus(),
}


def said(**changes: Any) -> dict[str, tuple[str, str]]:
    conditions = status(**DEFAULTS | changes).conditions
    assert all(condition.observed_generation == 3 for condition in conditions)
    return {condition.type: (condition.status.value, condition.reason) for condition in conditions}


def in_phase(phase: Phase, **changes: Any) -> RolloutStatus:
    return RolloutStatus(phase=phase, stable=OLD, canary=NEW, **changes)


def test_a_cluster_that_serves_is_ready_and_nothing_else() -> None:
    assert said() == {
        "Ready": ("True", "Serving"),
        "Reconciling": ("False", "Settled"),
        "Stalled": ("False", "NotStalled"),
        "Paused": ("False", "NotPaused"),
    }


def test_the_columns_tell_release_regions_and_traffic() -> None:
    lame = SERVING | {"us-east": RegionFacts({"old": RevisionFacts(2, 1, 2), "new": RevisionFacts(1, 1, 1)}, None)}
    shown = status(**DEFAULTS | {"regions": lame, "state": in_phase(Phase.STEPPING, traffic=25)})
    assert (shown.phase, shown.release, shown.regions_ready, shown.traffic) == ("Stepping", "kv:1", "1/2", "25%")
    assert [(r.name, r.ready, r.wanted, r.weights) for r in shown.regions] == [
        ("eu-west", 2, 3, {"old": 100}),
        ("us-east", 2, 3, {}),
    ]


@pytest.mark.parametrize(
    ("changes", "ready", "reconciling", "stalled"),
    [
        ({"state": RolloutStatus(stable=OLD)}, "Provisioning", "Provisioning", None),
        ({"regions": {}}, "RegionsNotReady", "RegionsNotReady", None),
        (
            {"regions": SERVING | {"us-east": RegionFacts(SERVING["us-east"].revisions)}},
            "RegionsNotReady",
            "RegionsNotReady",
            None,
        ),
        ({"state": in_phase(Phase.STEPPING)}, "RollingOut", "RollingOut", None),
        (
            {"state": in_phase(Phase.STEPPING, hold=Hold(reason="NoData", message="quiet", since=NOW))},
            "RollingOut",
            "NoData",
            None,
        ),
        ({"state": in_phase(Phase.ROLLING_BACK)}, "RollingBack", "RollingBack", None),
        (
            {"state": RolloutStatus(phase=Phase.ROLLED_BACK, stable=OLD, refused=REFUSED)},
            "RolledBack",
            None,
            "GateFailed",
        ),
        (
            {"state": in_phase(Phase.FROZEN, hold=Hold(reason="NoData", message="quiet", since=NOW))},
            "Frozen",
            None,
            "NoData",
        ),
        ({"problems": [Problem(Reason.INVALID_SPEC, "spec.x: no")], "spec": None}, "InvalidSpec", None, "InvalidSpec"),
        (
            {"problems": [Problem(Reason.FIELD_CONFLICT, "helm has .spec", "eu-west")]},
            "FieldConflict",
            None,
            "FieldConflict",
        ),
        ({"problems": [Problem(Reason.APPLY_FAILED, "timeout")]}, "ApplyFailed", "ApplyFailed", None),
    ],
)
def test_one_condition_says_why_it_is_not_ready(
    changes: dict[str, Any], ready: str, reconciling: str | None, stalled: str | None
) -> None:
    conditions = said(**changes)
    assert conditions["Ready"] == ("False", ready)
    assert conditions["Reconciling"] == (("True", reconciling) if reconciling else ("False", "Settled"))
    assert conditions["Stalled"] == (("True", stalled) if stalled else ("False", "NotStalled"))


def test_a_pause_names_who_asked() -> None:
    shown = status(**DEFAULTS | {"state": in_phase(Phase.STEPPING, paused_by="ann")})
    assert [c.message for c in shown.conditions if c.type == "Paused"] == ["paused by ann"]


def test_problems_name_their_region_and_lasting_ones_come_first() -> None:
    problems = [Problem(Reason.APPLY_FAILED, "timeout"), Problem(Reason.FIELD_CONFLICT, "helm has .spec", "eu-west")]
    shown = status(**DEFAULTS | {"problems": problems})
    assert [c.message for c in shown.conditions if c.type == "Stalled"] == ["eu-west: helm has .spec"]


def test_the_same_inputs_later_give_the_same_status() -> None:
    first = status(**DEFAULTS)
    read_back = KVClusterStatus.model_validate(first.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert status(**DEFAULTS | {"previous": read_back, "now": NOW + timedelta(hours=1)}) == read_back


def test_a_transition_time_moves_only_when_the_condition_flips() -> None:
    later, latest = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)

    def ready_since(shown: KVClusterStatus) -> datetime:
        return next(c.last_transition_time for c in shown.conditions if c.type == "Ready")

    first = status(**DEFAULTS)
    flipped = status(**DEFAULTS | {"previous": first, "now": later, "regions": {}})
    assert ready_since(flipped) == later
    other_reason = in_phase(Phase.ROLLING_BACK)
    same = status(**DEFAULTS | {"previous": flipped, "now": latest, "state": other_reason})
    assert ready_since(same) == later


def test_a_spec_that_cannot_be_read_leaves_what_was_known_of_regions() -> None:
    first = status(**DEFAULTS)
    broken = status(**DEFAULTS | {"previous": first, "spec": None, "problems": [Problem(Reason.INVALID_SPEC, "no")]})
    assert (broken.regions, broken.regions_ready) == (first.regions, "2/2")


FITS = Size(4, True, "4 pods (load, zone lost)")
TOO_FEW = Size(140, False, "140 pods are needed (load, zone lost), and maxReplicas is 100")
AT_A_LOSS = Size(None, False, "the most popular record is too popular")


@pytest.mark.parametrize(
    ("sizes", "condition", "message"),
    [
        ((FITS, FITS), ("True", "PlanHolds"), "eu-west: 4 pods (load, zone lost); us-east: 4 pods (load, zone lost)"),
        ((FITS, TOO_FEW), ("False", "OutOfReach"), f"us-east: {TOO_FEW.why}"),
        ((TOO_FEW, AT_A_LOSS), ("False", "BeyondModel"), f"us-east: {AT_A_LOSS.why}"),
    ],
)
def test_sized_tells_what_the_planner_says_of_auto(
    sizes: tuple[Size, ...], condition: tuple[str, str], message: str
) -> None:
    outlook = Outlook(dict(zip(("eu-west", "us-east"), sizes, strict=True)))
    (told,) = [one for one in status(**DEFAULTS, outlook=outlook).conditions if one.type == "Sized"]
    assert (told.status.value, told.reason) == condition
    assert told.message == message


SEEN = RegionLatency(qps=810, predicted_p95_ms=12, observed_p95_ms=11, at=NOW)
BUSY = {"spec": SPEC.model_copy(update={"workload": Workload.model_validate({"peakQPS": 1})})}


def compared(reason: Reason) -> Outlook:
    return Outlook(comparison=Comparison({"eu-west": SEEN}, reason, "eu-west: seen"))


@pytest.mark.parametrize(
    ("reason", "holds"),
    [
        (Reason.AGREES, "True"),
        (Reason.PARTS_FROM_MODEL, "False"),
        (Reason.BEYOND_MODEL, "Unknown"),
        (Reason.NO_DATA, "Unknown"),
        (Reason.NO_TRAFFIC, "Unknown"),
    ],
)
def test_as_predicted_is_unknown_where_there_is_nothing_to_compare(reason: Reason, holds: str) -> None:
    assert said(**BUSY, outlook=compared(reason))["AsPredicted"] == (holds, reason)


@pytest.mark.parametrize("reason", [Reason.PARTS_FROM_MODEL, Reason.BEYOND_MODEL])
def test_what_the_planner_says_touches_no_other_condition(reason: Reason) -> None:
    outlook = Outlook({"eu-west": AT_A_LOSS}, compared(reason).comparison)
    others = {name: one for name, one in said(**BUSY, outlook=outlook).items() if name not in ("Sized", "AsPredicted")}
    assert others == said()


def test_between_looks_latency_and_condition_stay() -> None:
    before = status(**DEFAULTS | BUSY, outlook=compared(Reason.PARTS_FROM_MODEL))
    assert before.regions[0].latency == SEEN
    assert status(**DEFAULTS | BUSY | {"previous": before}) == before


def test_without_a_workload_latency_and_condition_go() -> None:
    before = status(**DEFAULTS | BUSY, outlook=compared(Reason.AGREES))
    after = status(**DEFAULTS | {"previous": before})
    assert [region.latency for region in after.regions] == [None, None]
    assert "AsPredicted" not in {condition.type for condition in after.conditions}


def test_status_shows_the_pods_that_a_region_serves_with() -> None:
    assert [region.replicas for region in status(**DEFAULTS).regions] == [2, 2]


def events(*reasons: Reason) -> list[Event]:
    """Of one status after the other."""
    told = [status(**DEFAULTS | BUSY, outlook=compared(reason)) for reason in reasons]
    pairs = zip([KVClusterStatus(), *told], told, strict=False)
    return [event for before, after in pairs for event in flips(before, after)]


def test_an_event_tells_each_flip_once() -> None:
    assert events(Reason.AGREES, Reason.PARTS_FROM_MODEL, Reason.PARTS_FROM_MODEL, Reason.AGREES) == [
        Event("Warning", "PartsFromModel", "eu-west: seen"),
        Event("Normal", "Agrees", "eu-west: seen"),
    ]


def test_traffic_that_comes_and_goes_is_no_event() -> None:
    assert events(Reason.NO_DATA, Reason.NO_TRAFFIC, Reason.AGREES, Reason.NO_TRAFFIC) == []

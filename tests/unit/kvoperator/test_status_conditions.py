"""What status says, and when it does not change."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kvoperator.api.spec import KVClusterSpec, Region, Release
from kvoperator.api.status import Hold, KVClusterStatus, Phase, Refusal, Revision, RolloutStatus
from kvoperator.core.rollout.model import RegionFacts, RevisionFacts
from kvoperator.core.rollout.reasons import Reason
from kvoperator.core.status import Problem, status

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

"""What ran -> the pod's status, by kubelet's rules."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kvdev.agent.status import Facts, Record, Running, State, Terminated, Waiting, ended, phase, pod_status, restore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUNNING = Running(NOW)
WAITING = Waiting("ContainerCreating")
CRASHING = Waiting("CrashLoopBackOff")
DONE = Terminated(0, "Completed", NOW, NOW)
FAILED = Terminated(3, "Error", NOW, NOW)


def record(state: State, last: Terminated | None = None) -> Record:
    return Record("c", "i:1", state, last=last, ready=isinstance(state, Running))


def facts(policy: str = "Always", *, over: bool = False, conditions: tuple[dict[str, Any], ...] = ()) -> Facts:
    return Facts(policy, 1, "127.64.0.1", "127.32.0.1", NOW, conditions, over)


@pytest.mark.parametrize(
    ("policy", "init", "main", "expected"),
    [
        ("Always", [], [WAITING], "Pending"),
        ("Always", [], [RUNNING, WAITING], "Pending"),
        ("Always", [], [RUNNING], "Running"),
        ("Always", [], [DONE], "Running"),
        ("Always", [RUNNING], [WAITING], "Pending"),
        ("Always", [DONE], [RUNNING], "Running"),
        ("Never", [], [DONE], "Succeeded"),
        ("Never", [], [DONE, FAILED], "Failed"),
        ("Never", [], [DONE, RUNNING], "Running"),
        ("Never", [FAILED], [WAITING], "Failed"),
        ("OnFailure", [], [DONE], "Succeeded"),
        ("OnFailure", [], [FAILED], "Running"),
        ("OnFailure", [FAILED], [WAITING], "Pending"),
    ],
)
def test_phase(policy: str, init: list[State], main: list[State], expected: str) -> None:
    assert phase([record(s) for s in init], [record(s) for s in main], facts(policy)) == expected


def test_a_crash_loop_is_still_the_running_phase() -> None:
    assert phase([], [record(CRASHING, FAILED)], facts()) == "Running"


@pytest.mark.parametrize(("states", "expected"), [([DONE], "Succeeded"), ([FAILED], "Failed"), ([WAITING], "Failed")])
def test_a_removed_pod_ends_in_a_final_phase(states: list[State], expected: str) -> None:
    assert phase([], [record(s) for s in states], facts(over=True)) == expected


def test_a_signal_shows_as_128_more_and_by_its_number() -> None:
    killed = ended(-9, NOW, NOW)
    assert (killed.exit_code, killed.signal, killed.reason) == (137, 9, "Error")


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(c for c in status["conditions"] if c["type"] == kind)


def test_a_condition_keeps_its_time_until_it_turns() -> None:
    first = pod_status([], [record(WAITING)], facts(), NOW)
    later = NOW + timedelta(seconds=9)
    same = pod_status([], [record(WAITING)], facts(conditions=tuple(first["conditions"])), later)
    turned = pod_status([], [record(RUNNING)], facts(conditions=tuple(first["conditions"])), later)
    assert condition(same, "Ready")["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    assert condition(turned, "Ready")["lastTransitionTime"] == "2026-01-02T03:04:14Z"


def test_an_unready_pod_says_which_container() -> None:
    ready = condition(pod_status([], [record(WAITING)], facts(), NOW), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [c]"


def test_a_ready_pod_clears_the_old_reason() -> None:
    ready = condition(pod_status([], [record(RUNNING)], facts(), NOW), "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("True", None, None)


def test_a_container_shows_its_state_and_the_one_before() -> None:
    crashed = record(CRASHING, FAILED)
    crashed.restarts = 2
    shown = pod_status([], [crashed], facts(), NOW)["containerStatuses"][0]
    assert shown["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}
    assert shown["lastState"]["terminated"]["exitCode"] == 3
    assert shown["restartCount"] == 2


def test_a_container_that_just_ended_is_not_its_own_last_state() -> None:
    shown = pod_status([], [record(FAILED, FAILED)], facts(), NOW)["containerStatuses"][0]
    assert shown["lastState"] == {}
    assert shown["state"]["terminated"]["finishedAt"] == "2026-01-02T03:04:05Z"


def test_what_ran_under_an_earlier_agent_is_restored_as_ended() -> None:
    fresh = record(WAITING)
    running = {"name": "c", "restartCount": 4, "state": {"running": {"startedAt": "2026-01-02T03:00:00Z"}}}
    restore(fresh, [running], NOW)
    assert isinstance(fresh.state, Terminated)
    assert (fresh.state.exit_code, fresh.state.reason, fresh.restarts) == (137, "ContainerStatusUnknown", 4)


def test_a_container_that_waits_for_its_restart_is_restored_with_its_history() -> None:
    fresh = record(WAITING)
    last = {"exitCode": 3, "reason": "Error", "startedAt": "2026-01-02T03:00:00Z", "finishedAt": "2026-01-02T03:00:01Z"}
    status = {"name": "c", "restartCount": 2, "state": {"waiting": {}}, "lastState": {"terminated": last}}
    restore(fresh, [status], NOW)
    assert fresh.state == WAITING
    assert fresh.last
    assert (fresh.last.exit_code, fresh.restarts) == (3, 2)

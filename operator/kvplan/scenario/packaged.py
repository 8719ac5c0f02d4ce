"""The scenarios that come with kvplan, in `files/`."""

from importlib import resources
from typing import Any

import yaml

from kvplan.errors import InputError
from kvplan.scenario.file import Scenario, scenario_of

_FILES = resources.files("kvplan.scenario") / "files"


def names() -> tuple[str, ...]:
    return tuple(sorted(each.name.removesuffix(".yaml") for each in _FILES.iterdir() if each.name.endswith(".yaml")))


def packaged(name: str) -> Scenario:
    """Raises InputError for a name that is none."""
    return scenario_of(fields(name), name)


def fields(name: str) -> dict[str, Any]:
    """As the file has them. Raises InputError for a name that is none."""
    if name not in names():
        raise InputError(f"{name} is no packaged scenario; expected one of {', '.join(names())}, or a file")
    return dict(yaml.safe_load((_FILES / f"{name}.yaml").read_text(encoding="utf-8")))

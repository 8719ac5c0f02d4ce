"""Files -> what `kvplan` is asked, with the options of the command line on top.

A file is a KVCluster manifest, a plan file (the fields of `kvplan.plan.inputs.Inputs` in camelCase), or, for
`compare`, a plan that was saved with `--output json`.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kvctl.errors import UsageError
from kvoperator.api.lint import Severity, lint
from kvoperator.api.spec import KIND, KVClusterSpec
from kvoperator.core import sizing

if TYPE_CHECKING:
    from kvplan.plan.inputs import Inputs

SAVED = ("inputs", "months", "states")  # what only a saved plan has


@dataclass(frozen=True)
class Changes:
    """What the command line says besides the file."""

    prices: str | None = None
    service: str | None = None  # a file
    months: int | None = None
    resize: bool = False  # every size is to be chosen, also those that the file gives


def inputs(file: str, changes: Changes) -> "Inputs":
    """Raises UsageError that names the file, whatever is wrong with it."""
    return inputs_of(file, document(file), changes)


def inputs_of(file: str, data: Mapping[str, Any], changes: Changes) -> "Inputs":
    from kvplan.errors import InputError
    from kvplan.plan import read_inputs

    try:
        asked = sizing.inputs(_spec(file, data), is_draft=True) if is_manifest(data) else read_inputs(data)
        return read_inputs(_changed(asked.model_dump(by_alias=True), changes))
    except InputError as error:
        raise UsageError(f"{file}: {error}") from None


def is_manifest(data: Mapping[str, Any]) -> bool:
    return data.get("kind") == KIND


def document(file: str, expected: str = "one KVCluster, or one plan file with a workload") -> Mapping[str, Any]:
    """The file's one KVCluster, or the fields that it has; `-` is standard input. Objects of other APIs beside a
    KVCluster are passed over."""
    found = [each for each in _documents(file) if each is not None]
    clusters = [each for each in found if isinstance(each, Mapping) and each.get("kind") == KIND]
    found = clusters or found
    if len(found) != 1 or not isinstance(found[0], Mapping):
        raise UsageError(f"{file} has {_count(found)}; expected {expected}")
    return found[0]


def _count(found: list[Any]) -> str:
    return f"{len(found)} documents" if len(found) != 1 else "one document, without fields"


def _documents(file: str) -> list[Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text; expected YAML") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    try:
        return [json.loads(text)]  # a saved plan is long, and YAML is slow
    except json.JSONDecodeError:
        pass
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise UsageError(f"{file} is not YAML: {' '.join(str(error).split())}") from None


def _spec(file: str, manifest: Mapping[str, Any]) -> KVClusterSpec:
    errors = [finding for finding in lint(manifest) if finding.severity is Severity.ERROR]
    if errors:
        more = f" (and {len(errors) - 1} more: kvctl lint {file})" if len(errors) > 1 else ""
        raise UsageError(f"{file}: {errors[0]}{more}")
    return KVClusterSpec.model_validate(manifest["spec"])


def _changed(asked: dict[str, Any], changes: Changes) -> dict[str, Any]:
    given = {"prices": changes.prices, "months": changes.months}
    asked |= {name: value for name, value in given.items() if value is not None}
    if changes.resize:
        asked["cache"] |= {"shards": None, "memoryBytes": None}
        asked["storage"] |= {"nodes": None, "diskBytes": None}
        asked["regions"] = [region | {"pods": None} for region in asked["regions"]]
    if changes.service:
        asked["service"] |= document(changes.service, "times of the service, as kvctl calibrate writes them")
    return asked

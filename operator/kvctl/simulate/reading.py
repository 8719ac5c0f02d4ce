"""Names and files -> the scenario to play, with the options of the command line on top."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvctl.errors import UsageError
from kvctl.plan import reading

if TYPE_CHECKING:
    from kvplan.scenario.file import Scenario


@dataclass(frozen=True)
class Changes:
    """What the command line says besides the scenario."""

    seed: int | None = None
    duration: int | None = None
    scale: int | None = None
    protections: str | None = None


def scenario_named(name: str, cluster: str | None, changes: Changes) -> "Scenario":
    """`cluster`: a KVCluster or plan file that it is played on. Raises UsageError or InputError."""
    from kvplan.scenario.file import scenario_of
    from kvplan.scenario.play import with_protections

    data = dict(_fields(name))
    if cluster is not None:
        data = _on_cluster(data, cluster)
    given = {"seed": changes.seed, "duration": changes.duration, "scale": changes.scale}
    asked = scenario_of(data | {key: value for key, value in given.items() if value is not None}, name)
    return asked if changes.protections is None else with_protections(asked, _names(changes.protections))


def _fields(name: str) -> Mapping[str, Any]:
    from kvplan.scenario.packaged import fields, names

    if name in names():
        return fields(name)
    if name != "-" and not Path(name).exists():
        raise UsageError(f"{name} is neither a packaged scenario ({', '.join(names())}) nor a file")
    return reading.document(name, expected="one scenario")


def _names(text: str) -> tuple[str, ...]:
    from kvplan.scenario.file import ALL_PROTECTIONS

    if text in ("all", "none"):
        return ALL_PROTECTIONS if text == "all" else ()
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _on_cluster(fields: Mapping[str, Any], file: str) -> dict[str, Any]:
    from kvplan.plan import make_plan
    from kvplan.scenario.planned import on

    return on(make_plan(reading.inputs(file, reading.Changes(months=1)), samples=1), fields)

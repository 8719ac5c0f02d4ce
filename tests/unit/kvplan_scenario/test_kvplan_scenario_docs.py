"""docs/scenarios.md is under test: what there is must be in it, with its default, and nothing that there is not."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from kvplan.scenario import file
from kvplan.scenario.file import ALL_PROTECTIONS, Protections, Scenario, scenario_of
from kvplan.scenario.packaged import fields, names

PAGE = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text()
EVENTS = {each.model_fields["event"].annotation.__args__[0]: each for each in get_args(get_args(file.Event)[0])}


def rows(section: str) -> list[list[str]]:
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| `")
    ]


def quoted(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def paths(model: Any, before: str = "") -> set[str]:
    """The fields of a scenario, those of its parts included; of times, events and protections only the names."""
    found = set()
    for name, each in model.model_fields.items():
        path = before + (each.alias or name)
        part = next(
            (one for one in (each.annotation, *get_args(each.annotation)) if hasattr(one, "model_fields")), None
        )
        if part in (file.Workload, file.Client, file.Times, file.Months):
            found |= paths(part, f"{path}.")
        elif part is file.Region:
            found |= paths(part, f"{path}[].")
        else:
            found.add(path)
    return found


def test_every_packaged_scenario_is_listed() -> None:
    assert [quoted(row[0]) for row in rows("Packaged scenarios")] == [{name} for name in names()]


def test_every_field_of_a_file_is_listed() -> None:
    listed = set().union(
        *(quoted(row[0]) for section in ("A scenario file", "Month by month") for row in rows(section))
    )
    assert listed - {"months"} == paths(Scenario)


def test_every_event_is_listed_with_its_fields() -> None:
    listed = {row[0].strip("`"): quoted(row[1]) for row in rows("Events")}
    assert listed == {
        name: {each.alias or own for own, each in model.model_fields.items()} - {"event", "at"} - _nothing(model)
        for name, model in EVENTS.items()
    }


def _nothing(model: Any) -> set[str]:
    """Fields that may not be given."""
    return {name for name, each in model.model_fields.items() if each.annotation is type(None)}


def test_every_protection_is_listed_with_its_fields() -> None:
    listed = {row[0].strip("`"): quoted(row[1]) for row in rows("Protections")}
    assert list(listed) == list(ALL_PROTECTIONS)
    for name, each in Protections.model_fields.items():
        model = get_args(each.annotation)[0]
        assert listed[each.alias or name] == {one.alias or own for own, one in model.model_fields.items()}


@pytest.mark.parametrize("row", rows("Protections") + rows("Month by month"), ids=lambda row: row[0])
def test_defaults_are_those_of_the_code(row: list[str]) -> None:
    if row[0].startswith("`months"):
        model: Any = file.Months
        listed = [name.removeprefix("months.") for name in re.findall(r"`([^`]+)`", row[0])]
        shown = row[1]
    else:
        name = next(own for own, each in Protections.model_fields.items() if each.alias == row[0].strip("`"))
        model = get_args(Protections.model_fields[name].annotation)[0]
        listed, shown = re.findall(r"`([^`]+)`", row[1]), row[2]
    defaults = {each.alias or own: each.default for own, each in model.model_fields.items() if not each.is_required()}
    assert shown == (", ".join(f"{defaults[name]:g}" if name in defaults else "-" for name in listed) or "-")


def test_the_file_shown_is_one() -> None:
    shown = yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```")[0])
    assert scenario_of(shown, "docs").protections.named() == ("coalescing", "admission")


def test_packaged_files_say_all_that_is_not_a_default() -> None:
    assert all(fields(name)["about"].endswith(".") for name in names())

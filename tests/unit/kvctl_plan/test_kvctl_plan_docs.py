"""docs/planning.md is under test: what `kvctl plan` takes must be in it, the rules of headroom with their numbers."""

import re
from collections.abc import Iterator
from pathlib import Path

import typer
from pydantic import BaseModel

from kvctl.plan.command import app
from kvplan.plan import sizing, states
from kvplan.plan.inputs import Autoscaling, Cache, Inputs, Region, Service, Storage, Workload
from kvplan.plan.prices import STALE_DAYS, packaged

PAGE = (Path(__file__).parents[3] / "docs" / "planning.md").read_text()


def rows(header: str) -> list[list[str]]:
    """The cells of the table whose first column is called `header`."""
    table = PAGE.split(f"\n| {header} |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def group() -> typer.core.TyperGroup:
    found = typer.main.get_group(app)
    assert isinstance(found, typer.core.TyperGroup)
    return found


def test_every_command_is_listed() -> None:
    assert [row[0].strip("`") for row in rows("command")] == [
        "kvctl plan",
        *(f"kvctl plan {name}" for name in group().commands),
    ]


def test_every_option_is_listed_with_its_commands() -> None:
    taken: dict[str, set[str]] = {}
    commands = {"plan": group(), **group().commands}
    for name, command in commands.items():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                taken.setdefault(", ".join(f"`{each}`" for each in parameter.opts), set()).add(name)
    told = {option: set(commands) if of == "all" else set(of.split(", ")) for option, of, _ in rows("option")}

    assert told == taken


def camel(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_every_field_of_a_plan_file_is_named() -> None:
    def fields() -> Iterator[str]:
        parts: dict[str, type[BaseModel]] = {
            "workload": Workload,
            "regions[]": Region,
            "cache": Cache,
            "storage": Storage,
            "autoscaling": Autoscaling,
        }
        for name, model in parts.items():
            yield from (f"{name}.{field}" for field in camel(model))
        yield from camel(Inputs) - {"regions", *parts}

    named = {name for row in rows("field") for name in re.findall(r"`([^`]+)`", row[0])}
    assert named == set(fields())


def test_every_time_of_the_service_is_named() -> None:
    assert {name for row in rows("time") for name in re.findall(r"`(\w+)`", row[0])} == camel(Service)


def test_the_rules_of_headroom_are_the_code_s() -> None:
    assert [row[1] for row in rows("what")] == [
        f"{sizing.POD_LOAD:.0%}".replace("%", " %"),
        f"{sizing.SHARD_LOAD:.0%}".replace("%", " %"),
        f"{sizing.STORE_LOAD:.0%}".replace("%", " %"),
        f"{states.COLD_LOAD:.0%}".replace("%", " %"),
        f"{states.WARM_UP:g} s",
        f"{sizing.DISK_FILL:.0%}".replace("%", " %"),
        f"{sizing.SHARD_MOST_BYTES / 2**30:g} GiB",
        f"{sizing.NODE_MOST_BYTES / 2**40:g} TiB",
    ]
    assert f"{100 * (sizing.STORED_PER_LIVE - 1):.0f} % of overwritten" in PAGE
    assert f"{100 * sizing.SNAPSHOT_SHARE:.0f} % of what a snapshot" in PAGE


def test_the_price_tables_and_their_age_are_told() -> None:
    assert all(f"`{name}`" in PAGE for name in packaged())
    assert f"older than {STALE_DAYS} days" in PAGE

"""How commands show data: a table for people, JSON for programs."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


class Document(StrEnum):
    """What can be a report as well."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for programs.")]

DocumentOption = Annotated[
    Document,
    typer.Option("--output", "-o", help="table for people, json for programs, markdown or html to pass on."),
]


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, default=str))


def make_table(columns: list[str], rows: list[list[str]]) -> Table:
    """Cells are plain text, never markup; a column of numbers goes to the right."""
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = all(row[index].replace(".", "", 1).isdigit() for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table

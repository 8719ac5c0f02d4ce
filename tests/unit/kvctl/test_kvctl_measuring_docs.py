"""docs/measuring.md is under test: every option of the commands that measure is in it, and none that there is not."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from kvctl.load.report import MAX_SLIP_S
from kvctl.main import app

PAGE = (Path(__file__).parents[3] / "docs" / "measuring.md").read_text()


def section(command: str) -> str:
    return PAGE.partition(f"\n## `kvctl {command}`\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("command", ["load", "calibrate"])
def test_every_option_is_in_the_page_and_no_other(command: str) -> None:
    menu: Any = typer.main.get_command(app)
    options = {max(option.opts, key=len) for option in menu.commands[command].params}
    rows = re.findall(r"^\| (`--[^|]*)\|", section(command), re.MULTILINE)
    assert {option for row in rows for option in re.findall(r"`(--[a-z-]+)`", row)} == options - {"--help"}


def test_the_bound_of_slip_is_the_codes() -> None:
    assert f"VOID if slip has a p99 above {MAX_SLIP_S * 1000:g} ms" in section("load")

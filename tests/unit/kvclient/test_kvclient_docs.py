"""docs/client.md is under test: every option, error and call is in it, and nothing that there is not."""

import re
from inspect import isclass
from pathlib import Path

import kvclient
from kvclient import Client, ClientOptions, KvClientError, ReadOptions, WriteOptions
from kvclient.calls import BATCH
from kvclient.engine import CONNECT_S

PAGE = (Path(__file__).parents[3] / "docs" / "client.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> set[str]:
    """The first cells of a section's table."""
    return set(re.findall(r"^\| `(\w+)", section(title), re.MULTILINE))


def test_every_option_is_in_the_page() -> None:
    options = {*ClientOptions.__annotations__, *ReadOptions.__annotations__, *WriteOptions.__annotations__}

    assert rows("Options") == options


def test_every_error_is_in_the_page() -> None:
    errors = {
        name
        for name, value in vars(kvclient).items()
        if isclass(value) and issubclass(value, KvClientError) and value is not KvClientError
    }

    assert rows("Errors") == errors


def test_every_call_is_in_the_page() -> None:
    calls = {name for name in dir(Client) if not name.startswith("_")} - {"close", "session"}

    assert rows("Calls") == calls


def test_all_that_is_public_is_named() -> None:
    assert [name for name in kvclient.__all__ if not re.search(rf"\b{name}\b", PAGE)] == []


def test_the_limits_are_those_of_the_code() -> None:
    assert f"{BATCH} to a request" in PAGE
    assert f"{CONNECT_S:.0f} s" in section("What is tried again")

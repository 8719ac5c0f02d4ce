"""`kvctl simulate` as its user sees it: real runs of a small scenario."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvctl import main

SMALL: dict[str, Any] = {
    "name": "small",
    "about": "A <small> one.",
    "duration": 8,
    "warmUp": 2,
    "workload": {"peakQps": 300, "records": 1000},
    "client": {"timeout": 0.2, "retries": 1},
    "regions": [{"name": "one", "share": 1, "pods": 2, "cacheEntries": 1000, "storeServers": 2}],
    "events": [{"event": "slow", "dependency": "store", "at": 3, "lasts": 1, "factor": 50}],
    "protections": {"coalescing": True, "deadline": True},
}
PLAN: dict[str, Any] = {
    "workload": {"peakQps": 400, "records": 100_000},
    "regions": [{"name": "eu-north", "share": 0.6}, {"name": "us-west", "share": 0.4}],
}
Told = Callable[..., str]


def written(path: Path, document: Any) -> str:
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.fixture
def small(tmp_path: Path) -> str:
    return written(tmp_path / "small.yaml", SMALL)


def run(tmp_path: Path, *arguments: str) -> int:
    return main.run(["simulate", *arguments], log=tmp_path / "last-error.log")


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs a command line that must succeed; returns what it printed."""

    def told(*arguments: str) -> str:
        code = run(tmp_path, *arguments)
        said = capsys.readouterr()
        assert (code, said.err) == (0, "")
        return said.out

    return told


def test_it_names_the_packaged_scenarios(told: Told) -> None:
    listed = told("--list")
    assert "zone-lost" in listed
    assert "All caches are emptied at peak." in listed


def test_a_run_says_what_was_played_and_what_came_of_it(told: Told, small: str) -> None:
    said = told(small)
    assert "small: A <small> one." in said
    assert "At 3 s: slow in every region (lasts 1, dependency store, factor 50)." in said
    assert "Protections: coalescing, deadline." in said
    assert [line.partition("  ")[0] for line in said.splitlines()[-2:]] == ["run", "all protections"]


def test_a_comparison_leaves_each_protection_out(told: Told, small: str) -> None:
    rows = [line.partition("  ")[0] for line in told(small, "--compare").splitlines()[-4:]]
    assert rows == ["all protections", "without coalescing", "without deadline", "no protections"]


def test_protections_may_be_chosen(told: Told, small: str) -> None:
    assert "Protections: none." in told(small, "--protections", "none")
    assert "Protections: deadline, hedging." in told(small, "--protections", "hedging, deadline")
    assert "nearCache" in told(small, "--protections", "all")


def test_json_has_every_second_of_every_region(told: Told, small: str) -> None:
    made = json.loads(told(small, "--output", "json", "--duration", "6", "--seed", "5"))
    assert (made["scenario"]["duration"], made["scenario"]["seed"]) == (6, 5)
    [only] = made["runs"]
    assert only["protections"] == ["coalescing", "deadline"]
    assert {len(series) for series in only["regions"]["one"].values()} == {6}
    assert sum(only["regions"]["one"]["arrivals"]) == pytest.approx(6 * 300, rel=0.1)


def test_the_same_seed_prints_the_same(told: Told, small: str) -> None:
    assert told(small, "--output", "json") == told(small, "--output", "json")


def test_markdown_is_a_table(told: Told, small: str) -> None:
    assert "| run | answered in time |" in told(small, "--output", "markdown")


def test_html_is_one_page_with_its_plot_and_nothing_of_the_users_unescaped(told: Told, small: str) -> None:
    page = told(small, "--output", "html")
    assert page.startswith("<!doctype html>")
    assert "A &lt;small&gt; one." in page
    assert "<svg" in page
    assert "<script" not in page


@pytest.mark.parametrize(("name", "begins"), [("a.svg", b"<?xml"), ("a.png", b"\x89PNG"), ("a.pdf", b"%PDF")])
def test_a_plot_is_written_as_its_name_says(told: Told, small: str, tmp_path: Path, name: str, begins: bytes) -> None:
    told(small, "--plot", str(tmp_path / name))
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_months_say_when_it_stops_holding(told: Told, tmp_path: Path) -> None:
    growing = SMALL | {"months": {"count": 2, "growth": 4, "p95": 0.05}, "events": [{"event": "zone-lost", "at": 1}]}
    growing["regions"] = [SMALL["regions"][0] | {"cacheEntries": 0, "pods": 9, "storeServers": 4}]
    file = written(tmp_path / "growing.yaml", growing)
    said = told(file)
    assert "It stops holding in month 2, at 1,500 requests/s, in the state normal:" in said
    assert "store in one" in said
    assert len(json.loads(told(file, "--output", "json"))["months"]) == 4


def test_a_scenario_is_played_on_the_regions_of_a_plan(told: Told, tmp_path: Path) -> None:
    plan = written(tmp_path / "plan.yaml", PLAN)
    said = told("region-lost", "-f", plan, "--duration", "40")
    assert "eu-north 240/s on " in said
    assert "region-lost in eu-north" in said  # the scenario's own region is not there: the largest one is


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to play: kvctl simulate NAME, one of kvctl simulate --list, or a scenario file"),
        (["flud"], "flud is neither a packaged scenario (flush, herd, "),
        (["flush", "--protections", "luck"], "luck is no protection; expected some of coalescing, "),
        (
            ["flush", "--scale", "50"],
            "flush: scale is 50, but eu-west has 6 pods and 5 store servers; expected at most 5",
        ),
        (
            ["flush", "--plot", "a.gif"],
            "--plot: a.gif has no kind of picture; expected a name that ends in .svg, .png, .pdf",
        ),
        (["flush", "-f", "absent.yaml"], "absent.yaml cannot be read: No such file or directory"),
        (
            ["twelve-months", "--compare"],
            "twelve-months goes month by month: it is neither compared nor plotted over time",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"kvctl: {said}")
    assert error.count("\n") == 1


def test_a_file_that_is_no_scenario_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "wrong.yaml", SMALL | {"workload": {"peakQps": -3}})
    assert run(tmp_path, file) == 2
    assert capsys.readouterr().err == f"kvctl: {file}: workload.peakQps is -3; expected a number above 0\n"


def test_a_picture_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], small: str
) -> None:
    assert run(tmp_path, small, "--plot", str(tmp_path / "nowhere" / "a.png")) == 2
    assert "a.png cannot be written: No such file or directory" in capsys.readouterr().err

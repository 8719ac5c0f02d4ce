"""docs/rollout.md tells what the code does: each transition, each reason."""

import re
from pathlib import Path

from kvoperator.api.status import Outcome, Phase
from kvoperator.core.rollout.model import Verb
from kvoperator.core.rollout.reasons import Reason
from kvoperator.core.rollout.transitions import Transition

PAGE = (Path(__file__).parents[3] / "docs" / "rollout.md").read_text()


def rows(header: str) -> list[list[str]]:
    """The cells of the table whose first column is called `header`."""
    table = PAGE.split(f"\n| {header} |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def phases(text: str) -> set[Phase]:
    if text.startswith("any"):
        return set(Phase) - ({Phase(text.removeprefix("any but "))} if "but" in text else set())
    return {Phase(name) for name in text.split(", ")}


def test_the_table_of_transitions_is_the_codes() -> None:
    told = {
        name: (phases(sources), None if to == "same" else Phase(to), event)
        for name, sources, to, event, *_ in rows("transition")
    }
    assert told == {t.name: (set(t.value.sources), t.value.to, t.value.event) for t in Transition}


def test_every_reason_is_explained_once() -> None:
    assert sorted(row[0].strip("`") for row in rows("reason")) == sorted(Reason)


def test_every_verdict_is_explained() -> None:
    assert {row[0] for row in rows("verdict")} == set(Outcome)


def test_every_verb_is_named() -> None:
    assert all(re.search(rf"\b{verb}\b", PAGE) for verb in Verb)

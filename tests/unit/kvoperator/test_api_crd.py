"""The CRD and its reference are made from the models, checked in, and complete."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvoperator.api import crd, reference
from kvoperator.api.crd import Schema
from kvoperator.api.rules import RULES

ROOT = Path(__file__).parents[3]


def fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    for name, node in schema.get("properties", {}).items():
        yield f"{path}.{name}", node
        yield from fields(node.get("items", node), f"{path}.{name}")


FIELDS = [
    pytest.param(node, id=path)
    for part in ("spec", "status")
    for path, node in fields(crd.root()["properties"][part], part)
]


@pytest.mark.parametrize(
    ("file", "made"), [("crds/kvclusters.kvcluster.dev.yaml", crd.text), ("docs/api.md", reference.text)]
)
def test_the_checked_in_file_is_up_to_date(file: str, made: object) -> None:
    assert callable(made)
    assert (ROOT / file).read_text() == made(), "run: make generate"


def test_the_crd_stays_small() -> None:
    assert len(crd.text().splitlines()) < 1500


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_described(field: Schema) -> None:
    assert field["description"].endswith(".")


def test_every_rule_reaches_the_schema() -> None:
    assert crd.text().count("messageExpression:") == len(RULES)


def test_the_status_claims_nothing_by_default() -> None:
    assert not [node for _, node in fields(crd.root()["properties"]["status"], "status") if "default" in node]

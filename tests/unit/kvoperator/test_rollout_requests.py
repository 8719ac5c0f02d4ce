"""Reading the request annotation."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvoperator.core.rollout.model import Malformed, Request, Verb
from kvoperator.core.rollout.requests import parse


def test_a_request_is_read_with_or_without_a_revision() -> None:
    fields = {"id": "a-1", "verb": "promote", "actor": "ann@example.org"}
    assert parse(json.dumps(fields)) == Request("a-1", Verb.PROMOTE, "ann@example.org")
    assert parse(json.dumps(fields | {"revision": "0123456789"})) == Request(
        "a-1", Verb.PROMOTE, "ann@example.org", "0123456789"
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("promote", "is not JSON: 'promote'"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "expected an object with id, verb and actor"),
        ('{"id": "1", "verb": "promote", "actor": "ann", "force": true}', "unknown fields ['force']"),
        ('{"verb": "promote", "actor": "ann"}', "id is 'None'; expected 1 to 64"),
        ('{"id": "1 2", "verb": "promote", "actor": "ann"}', "id is '1 2'"),
        (
            '{"id": "1", "verb": "go", "actor": "ann"}',
            "verb is 'go'; expected one of promote, abort, pause, resume, retry",
        ),
        ('{"id": "1", "verb": [], "actor": "ann"}', "verb is '[]'"),
        ('{"id": "1", "verb": "abort", "actor": ""}', "actor is ''"),
        ('{"id": "1", "verb": "abort", "actor": "a\\u0007"}', "printable"),
        ('{"id": "1", "verb": "abort", "actor": "ann", "revision": 7}', "revision is '7'"),
    ],
)
def test_a_bad_request_is_told_in_one_sentence(value: str, said: str) -> None:
    read = parse(value)
    assert isinstance(read, Malformed)
    assert said in read.message
    assert len(read.message) < 300


@given(st.text())
def test_any_text_is_read_without_an_error_and_always_the_same(value: str) -> None:
    assert parse(value) == parse(value)

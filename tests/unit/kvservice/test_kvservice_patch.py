"""JSON merge patch: the table of RFC 7396, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvservice.core.patch import made, merge, parsed, patched
from kvservice.errors import InvalidRequest, NotPatchable

RFC_7396_APPENDIX_A: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
NAMES = st.sampled_from("abc")
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
JSON = st.recursive(LEAVES, lambda each: st.lists(each, max_size=3) | st.dictionaries(NAMES, each, max_size=3))


def without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: without_nulls(each) for name, each in value.items() if each is not None}


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396_APPENDIX_A)
def test_merging_does_what_the_rfc_lists(target: Any, patch: Any, result: Any) -> None:
    assert merge(target, patch) == result


@given(JSON, JSON)
def test_merging_the_same_patch_again_changes_nothing(target: Any, patch: Any) -> None:
    once = merge(target, patch)

    assert merge(once, patch) == once


@given(JSON)
def test_a_patch_of_nothing_is_itself_without_its_nulls(patch: Any) -> None:
    assert merge(None, patch) == without_nulls(patch)


@given(JSON, JSON)
def test_merging_leaves_target_and_patch_as_they_were(target: Any, patch: Any) -> None:
    before = json.dumps([target, patch])
    merge(target, patch)

    assert json.dumps([target, patch]) == before


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/geo+json"])
def test_values_of_json_types_are_patched(kind: str) -> None:
    assert patched('{"a":1,"name":"Zoë"}'.encode(), kind, {"a": None}) == '{"name":"Zoë"}'.encode()


@pytest.mark.parametrize("kind", ["text/plain", "", "application/jsonl"])
def test_values_of_other_types_are_not_patched(kind: str) -> None:
    with pytest.raises(NotPatchable, match="only application/json"):
        patched(b"{}", kind, {})


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff\xff", b"[NaN]", b"[" * 100_000])
def test_a_value_that_is_no_json_is_not_patched(payload: bytes) -> None:
    with pytest.raises(NotPatchable, match="but it is no JSON"):
        patched(payload, "application/json", {})


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xff", b"[Infinity]", b'{"a":' * 100_000, b"1" * 5000])
def test_a_patch_that_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="the patch is no JSON"):
        parsed(data)


@pytest.mark.parametrize("data", [b"1e999", b'"\\ud800"'])
def test_what_cannot_be_written_as_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="cannot be written as JSON"):
        made(None, parsed(data))


def test_a_patch_nested_too_deep_to_merge_is_refused() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}

    with pytest.raises(InvalidRequest):
        patched(b"{}", "application/json", deep)

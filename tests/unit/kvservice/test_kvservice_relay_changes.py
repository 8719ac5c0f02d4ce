"""A change between regions: JSON there and back, and nothing else gets in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvservice.core.changes import from_json, to_json
from kvservice.core.envelope import Envelope, encode
from kvservice.core.ports import Entry, Key
from kvservice.errors import InvalidRequest

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
REGIONS = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
VERSIONS = st.integers(1, 2**63 - 1)
ENVELOPES = st.builds(
    Envelope,
    version=VERSIONS,
    region=REGIONS,
    content_type=st.text(st.characters(max_codepoint=255), max_size=40),
    payload=st.binary(max_size=200),
    expires_us=st.integers(0, 2**63 - 1),
    tombstone=st.booleans(),
    seen=st.dictionaries(REGIONS, VERSIONS, max_size=4),
)
ENTRY = Entry(Key("ns", "id"), encode(Envelope(5, "eu", "text/plain", b"one", seen={"us": 3})))


@given(st.builds(Key, NAMES, NAMES, st.just("") | NAMES), ENVELOPES)
def test_an_entry_comes_back_to_the_byte(key: Key, envelope: Envelope) -> None:
    entry = Entry(key, encode(envelope))

    assert from_json(json.loads(json.dumps(to_json(entry)))) == entry


def test_a_change_reads_as_documented() -> None:
    assert to_json(ENTRY) == {
        "namespace": "ns",
        "id": "id",
        "version": "5",
        "region": "eu",
        "contentType": "text/plain",
        "value": "b25l",
        "deleted": False,
        "expiresUs": 0,
        "seen": {"us": "3"},
    }


def test_the_item_is_named_if_there_is_one() -> None:
    assert to_json(Entry(Key("ns", "id", "a"), ENTRY.envelope))["item"] == "a"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("namespace", ""),  # where a region keeps its place in the feeds
        ("namespace", None),
        ("id", ""),
        ("id", "a\0b"),
        ("id", "\ud800"),
        ("item", "\0"),
        ("version", 5),
        ("version", "0"),
        ("version", "-5"),
        ("version", "5.0"),
        ("version", "\u0665"),
        ("version", str(2**63)),
        ("region", ""),
        ("region", "x" * 64),
        ("contentType", "\u20ac"),
        ("contentType", "x" * 256),
        ("value", "b25"),
        ("value", "b2\u00e9l"),
        ("value", 1),
        ("deleted", "false"),
        ("expiresUs", -1),
        ("expiresUs", True),
        ("expiresUs", 2**63),
        ("seen", {"us": 3}),
        ("seen", {"": "3"}),
        ("seen", []),
        ("unknown", 1),
    ],
)
def test_what_is_no_change_is_told_by_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"^{field}"):
        from_json({**to_json(ENTRY), field: value})


def test_a_change_lacks_nothing() -> None:
    for field in to_json(ENTRY):
        with pytest.raises(InvalidRequest, match=f"^{field}: Field required"):
            from_json({name: value for name, value in to_json(ENTRY).items() if name != field})

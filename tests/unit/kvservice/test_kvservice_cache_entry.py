"""What is kept in the cache, and under which names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvservice.cache.entry import copy_of, entry_name, key_of, lease_name, trailer
from kvservice.core.ports import Copy, Key

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
KEYS = st.builds(Key, st.from_regex(r"[a-z0-9]([-_.a-z0-9]{0,9}[a-z0-9])?", fullmatch=True), TEXT, TEXT)


@given(key=KEYS)
def test_a_name_tells_its_key(key: Key) -> None:
    assert key_of(entry_name(key)) == key


@given(one=KEYS, other=KEYS)
def test_no_two_names_are_the_same(one: Key, other: Key) -> None:
    assert (one == other) == (entry_name(one) == entry_name(other)) == (lease_name(one) == lease_name(other))
    assert entry_name(one) != lease_name(other)


def test_the_names_are_what_other_builds_expect() -> None:
    assert entry_name(Key("demo", "a:b")) == b"kv1:demo:a:b"
    assert entry_name(Key("demo", "a", "ä")) == b"kv1:demo:a\0\xc3\xa4"


def test_the_trailer_is_what_other_builds_expect() -> None:
    assert trailer(2**40 + 1, 600, 0.25) == b"\0\0\1\0\0\0\0\1" + (600_000).to_bytes(4) + (250_000).to_bytes(4)


def test_a_copy_gets_older_and_stale() -> None:
    entry = b"envelope" + trailer(1_000_000, 60, 0.5) + b"\0"

    assert copy_of(entry, 11_000_000) == Copy(b"envelope", 10, 50, 0.5)
    assert copy_of(entry, 71_000_000) == Copy(b"envelope", 70, -10, 0.5)


def test_a_copy_from_a_pod_whose_clock_is_ahead_is_new() -> None:
    assert copy_of(b"envelope" + trailer(1_000_000, 60, 0) + b"\1", 0).age_s == 0


def test_more_than_fits_is_cut() -> None:
    copy = copy_of(trailer(0, 1e9, 1e9) + b"\0", 0)

    assert copy.fresh_s == pytest.approx(2**32 / 1e3)
    assert copy.cost_s == pytest.approx(2**32 / 1e6)


@pytest.mark.parametrize("entry", [b"", b"x" * 16])
def test_what_is_too_short_is_stale(entry: bytes) -> None:
    assert copy_of(entry, 0).fresh_s == 0

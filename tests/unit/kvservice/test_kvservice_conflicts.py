"""Conflicts: what a write says it knew is what it knew, in any history of three regions."""

import logging
from dataclasses import dataclass, field
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvservice.core.conflicts import Conflicts, descends, is_conflict, overlooks, seen_over
from kvservice.core.envelope import Envelope, decode, encode, never_written, newer
from kvservice.core.ports import Key

REGIONS = ("a", "b", "c")
KEY = Key("ns", "id", "item")


def version(number: int, region: str, seen: dict[str, int] | None = None, *, tombstone: bool = False) -> Envelope:
    return Envelope(number, region, "", b"", tombstone=tombstone, seen=seen or {})


@dataclass
class World:
    """Regions that write one record and carry any of their writes to any other, by the rule of versions. Beside it,
    in full: the set of all writes that each write knew (what it was written over with all that knew, and what its
    region had written before)."""

    present: dict[str, Envelope] = field(default_factory=dict)
    written: list[Envelope] = field(default_factory=list)
    knew: dict[int, set[int]] = field(default_factory=dict)

    def write(self, here: str, *, is_delete: bool) -> None:
        over = self.present.get(here)
        number = over.version + 1 if over else 1
        while number in self.knew:  # versions never tie
            number += 1
        new = version(number, here, seen_over(over, here), tombstone=is_delete)
        own = {each.version for each in self.written if each.region == here}
        self.knew[number] = own | ({over.version} | self.knew[over.version] if over else set())
        self.written.append(new)
        self.present[here] = new

    def carry(self, number: int, to: str) -> None:
        if self.written:
            self.meet(self.written[number % len(self.written)], to)

    def meet(self, arriving: Envelope, at: str) -> None:
        there = self.present.get(at)
        if there is None or newer(encode(arriving), encode(there)):
            self.present[at] = arriving


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(REGIONS), st.booleans()),
        st.tuples(st.just("carry"), st.integers(0, 30), st.sampled_from(REGIONS)),
    ),
    max_size=30,
)


def play(steps: list[tuple[str, object, object]]) -> World:
    world = World()
    for what, one, two in steps:
        if what == "write":
            world.write(str(one), is_delete=bool(two))
        else:
            world.carry(int(str(one)), str(two))
    return world


@given(STEPS)
def test_a_write_descends_from_what_it_knew_and_from_nothing_else(steps: list[tuple[str, object, object]]) -> None:
    world = play(steps)

    for one in world.written:
        for other in world.written:
            knew_it = other.version in world.knew[one.version] | {one.version}
            assert descends(one, other) == knew_it, (one, other)


@given(STEPS)
def test_two_writes_conflict_if_neither_knew_the_other(steps: list[tuple[str, object, object]]) -> None:
    world = play(steps)

    for one, other in combinations(world.written, 2):
        is_known = other.version in world.knew[one.version] or one.version in world.knew[other.version]
        assert is_conflict(one, other) == is_conflict(other, one) == (not is_known)


@given(st.lists(st.tuples(st.sampled_from(REGIONS), st.booleans()), max_size=12))
def test_writes_that_are_carried_everywhere_before_the_next_never_conflict(writes: list[tuple[str, bool]]) -> None:
    world = World()
    for here, is_delete in writes:
        world.write(here, is_delete=is_delete)
        for region in REGIONS:
            world.carry(len(world.written) - 1, region)

    assert not any(is_conflict(*pair) for pair in combinations(world.written, 2))


@given(STEPS)
def test_what_was_seen_survives_the_envelope(steps: list[tuple[str, object, object]]) -> None:
    for each in play(steps).written:
        assert decode(encode(each)) == each


def test_the_first_write_of_a_record_has_seen_nothing() -> None:
    assert seen_over(None, "a") == {}
    assert seen_over(decode(never_written()), "a") == {}


def test_a_delete_is_seen_like_any_write() -> None:
    deleted = version(5, "b", {"c": 2}, tombstone=True)

    assert seen_over(deleted, "a") == {"b": 5, "c": 2}
    assert not is_conflict(version(6, "a", seen_over(deleted, "a")), deleted)
    assert is_conflict(version(6, "a"), deleted)


@given(STEPS)
def test_a_write_overlooks_what_was_replaced_by_who_did_not_know_it(steps: list[tuple[str, object, object]]) -> None:
    """`one`'s last ancestor of another region against `other`, of `one`'s region and older."""
    world = play(steps)
    by_version = {each.version: each for each in world.written}

    for one in world.written:
        foreign = max((number for region, number in one.seen.items() if region != one.region), default=0)
        for other in world.written:
            if other.region == one.region and other.version < one.version:
                is_lost = foreign > other.version and not descends(by_version[foreign], other)
                assert overlooks(one, other) == is_lost, (one, other)


def test_a_write_that_was_replaced_unseen_is_counted_by_what_its_region_wrote_next() -> None:
    counted: list[str] = []
    conflicts = Conflicts(lambda: counted.append("one"))
    lost, winner = version(4, "a"), version(7, "b")
    following = version(9, "a", seen_over(winner, "a"))
    conflicts.meet(KEY, encode(following), encode(lost))
    conflicts.meet(KEY, encode(version(11, "a", seen_over(following, "a"))), encode(lost))
    assert len(counted) == 2

    conflicts.meet(KEY, encode(version(11, "a", seen_over(following, "a"))), encode(following))
    conflicts.meet(KEY, encode(version(9, "a", seen_over(version(7, "b", {"a": 4}), "a"))), encode(lost))
    assert len(counted) == 2


def test_a_conflict_is_counted_and_logged_with_winner_and_loser(caplog: pytest.LogCaptureFixture) -> None:
    counted: list[str] = []
    conflicts = Conflicts(lambda: counted.append("one"))
    with caplog.at_level(logging.INFO):
        conflicts.meet(KEY, encode(version(4, "a")), encode(version(7, "b")))

    assert counted == ["one"]
    (line,) = caplog.records
    fields = {name: line.__dict__[name] for name in ("namespace", "id", "item", "winner", "loser")}
    assert line.getMessage() == "conflict"
    assert fields == {"namespace": "ns", "id": "id", "item": "item", "winner": "7", "loser": "4"}


def test_a_write_that_follows_another_is_no_conflict(caplog: pytest.LogCaptureFixture) -> None:
    conflicts = Conflicts(lambda: pytest.fail("counted"))
    conflicts.meet(KEY, encode(version(7, "b", {"a": 4})), encode(version(4, "a")))
    conflicts.meet(KEY, encode(version(4, "a")), encode(version(4, "a")))
    conflicts.meet(KEY, b"of a newer build", encode(version(4, "a")))

    assert not caplog.records

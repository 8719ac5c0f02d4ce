"""Claims on names and slots."""

import asyncio
import os

import pytest

from kvdev.errors import KvdevError
from kvdev.plane.claim import claimed, name_claimed, turn

NAME = f"claim-{os.getpid()}"


def test_two_clusters_get_two_slots() -> None:
    with claimed(f"{NAME}-a") as first, claimed(f"{NAME}-b") as second:
        assert first.slot != second.slot


def test_a_freed_slot_is_given_again() -> None:
    with claimed(NAME) as first:
        pass
    with claimed(NAME) as second:
        assert second.slot == first.slot


def test_a_name_is_claimed_once() -> None:
    with claimed(NAME), pytest.raises(KvdevError, match="already runs on this machine"), claimed(NAME):
        pass


def test_the_claim_holds_as_long_as_anyone_has_its_descriptors() -> None:
    with claimed(NAME) as claim:
        inherited = [os.dup(descriptor) for descriptor in claim.descriptors]
    with name_claimed(NAME) as held:
        assert held is None
    for descriptor in inherited:
        os.close(descriptor)
    with name_claimed(NAME) as held:
        assert held is not None


async def test_turns_are_taken_one_after_the_other() -> None:
    events = list[str]()

    async def visit(who: str) -> None:
        async with turn(NAME):
            events.append(f"{who} in")
            await asyncio.sleep(0)
            events.append(f"{who} out")

    await asyncio.gather(visit("a"), visit("b"))
    assert events in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])

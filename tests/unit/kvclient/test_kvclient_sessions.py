"""A session sends what it was told, all of it, and never more than the service looks at."""

import asyncio
import contextlib
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvclient import AsyncClient, DeadlineExceeded, Rejected, SessionNotSatisfied
from kvclient.session import TOKENS


def numbered(world: Any, delays: list[float] | None = None) -> Any:
    """Answers with the tokens t1, t2, ... in the order of the requests."""
    count = 0

    async def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        number = count
        await asyncio.sleep(delays[number - 1] if delays else 0)
        response: httpx.Response = world.found(kv_session=f"t{number}")
        return response

    return answer


def get(kv: Any) -> Any:
    return kv.get("demo", "hello")


def test_a_session_begins_with_an_empty_token_and_goes_on_with_the_last_answers(world: Any) -> None:
    world.regions["eu"] = numbered(world)

    async def story(kv: AsyncClient) -> None:
        async with kv.session() as session:
            for _ in range(3):
                await get(session)

    world.tell(story)

    assert world.sent("kv-session") == ["", "t1", "t2"]


def test_without_a_session_nothing_is_carried(world: Any) -> None:
    world.regions["eu"] = numbered(world)
    world.tell(get)

    assert world.sent("kv-session") == [None]


def test_answers_that_were_under_way_together_are_all_carried_on(world: Any) -> None:
    world.regions["eu"] = numbered(world, [0, 3, 2, 1, 0, 0])

    async def story(kv: AsyncClient) -> None:
        session = kv.session()
        await get(session)
        await asyncio.gather(*(get(session) for _ in range(3)))
        await get(session)
        await get(session)

    world.tell(story)

    assert world.sent("kv-session") == ["", "t1", "t1", "t1", "t4,t3,t2", "t5"]


def test_an_answer_that_carried_less_takes_the_place_of_what_it_carried_only(world: Any) -> None:
    world.regions["eu"] = numbered(world, [0, 4, 1, 0])

    async def story(kv: AsyncClient) -> str:
        session = kv.session()
        await get(session)
        slow = asyncio.create_task(get(session))  # carries t1
        await asyncio.sleep(1)
        await get(session)  # carries t1, too: t3 is its answer
        await get(session)  # carries t3: t4
        await slow
        return str(session)

    assert world.tell(story) == "t4,t2"


def test_a_refusal_leaves_the_session_as_it_was_or_with_its_token(world: Any) -> None:
    world.regions["eu"] = world.in_turn(
        world.found(kv_session="t1"), world.problem(422, "invalid-request"), world.found()
    )

    async def story(kv: AsyncClient) -> str:
        session = kv.session()
        await get(session)
        with pytest.raises(Rejected):
            await get(session)
        return str(session)

    assert world.tell(story) == "t1"


def test_an_absent_record_is_something_seen(world: Any) -> None:
    absent = world.problem(404, "record-not-found")
    absent.headers["kv-session"] = "t1"
    world.regions["eu"] = world.in_turn(absent)

    async def story(kv: AsyncClient) -> str:
        session = kv.session()
        assert await get(session) is None
        return str(session)

    assert world.tell(story) == "t1"


@pytest.mark.parametrize("method", ["get", "head"])
def test_an_absence_that_may_be_old_is_an_error(world: Any, method: str) -> None:
    """A record carries the mark; None could not, and would be silently stale."""
    absent = world.problem(404, "record-not-found")
    absent.headers["kv-session-satisfied"] = "no"
    world.regions["eu"] = world.in_turn(absent)

    with pytest.raises(SessionNotSatisfied):
        world.tell(lambda kv: getattr(kv.session(), method)("demo", "a"))


def test_items_and_batches_that_may_be_old_are_errors_where_they_cannot_say_so(world: Any) -> None:
    missing = {"status": 404, "problem": world.problem(404, "record-not-found").json()}
    behind = {"kv-session-satisfied": "no"}
    world.regions["eu"] = world.in_turn(
        httpx.Response(200, json={"results": [missing]}, headers=behind),
        httpx.Response(200, json={"items": [], "next": None}, headers=behind),
    )

    async def story(kv: AsyncClient) -> None:
        (result,) = await kv.session().get_many("demo", ["a"])
        assert isinstance(result, SessionNotSatisfied)
        with pytest.raises(SessionNotSatisfied):
            assert not [item async for item in kv.session().items("demo", "a")]

    world.tell(story)


def test_a_session_goes_on_elsewhere(world: Any) -> None:
    world.regions["eu"] = numbered(world)
    world.tell(lambda kv: get(kv.session("a, b")))

    assert world.sent("kv-session") == ["a,b"]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), calls=st.integers(1, 60))
def test_no_token_is_ever_dropped_nor_more_sent_than_are_looked_at(new_world: Any, seed: int, calls: int) -> None:
    """Each answer knows what its request carried; in the end the session's tokens together know of all answers."""
    random, world = Random(seed), new_world()
    knows: dict[str, set[str]] = {}
    most = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal most
        carried = [token for token in request.headers["kv-session"].split(",") if token]
        most = max(most, len(carried))
        token = f"t{len(world.seen)}"
        await asyncio.sleep(random.random())
        if random.random() < 0.2:
            return httpx.Response(422)
        knows[token] = {token}.union(*(knows[each] for each in carried))
        found: httpx.Response = world.found(kv_session=token)
        return found

    async def story(kv: AsyncClient) -> str:
        session = kv.session()

        async def call() -> None:
            await asyncio.sleep(random.random() * 3)
            with contextlib.suppress(Rejected):
                await session.get("demo", "a", deadline_s=100)

        await asyncio.gather(*(call() for _ in range(calls)))
        return str(session)

    world.regions["eu"] = answer
    held = [token for token in world.tell(story).split(",") if token]

    assert most <= TOKENS
    assert set().union(*(knows[token] for token in held)) == set(knows)


def test_a_call_that_waits_for_others_of_its_session_keeps_its_deadline(world: Any) -> None:
    world.regions["eu"] = world.after(5, world.found(kv_session="t"))

    async def story(kv: AsyncClient) -> None:
        session = kv.session()
        others = [asyncio.create_task(session.get("demo", "a", deadline_s=20)) for _ in range(TOKENS)]
        await asyncio.sleep(0.1)
        with pytest.raises(DeadlineExceeded, match="the session's other calls took all of the time"):
            await session.get("demo", "a", deadline_s=1)
        await asyncio.gather(*others)

    world.tell(story)

    assert len(world.seen) == TOKENS

"""Retries and hedges stay within their shares, whatever happens."""

import asyncio
import contextlib
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvclient import AsyncClient, KvClientError, OutcomeUnknown
from kvclient.budget import ENOUGH, HEDGE_SHARE, RETRY_CAP, RETRY_SHARE, WINDOW, Latencies, hedge_budget, retry_budget


@given(st.lists(st.booleans(), max_size=2000))
def test_retries_are_at_most_a_tenth_of_the_requests_and_the_cap(steps: list[bool]) -> None:
    budget, requests, retries = retry_budget(), 0, 0
    for is_request in steps:
        if is_request:
            budget.request()
            requests += 1
        else:
            retries += budget.take()
        assert retries <= RETRY_SHARE * requests + RETRY_CAP + 1e-6


@given(st.lists(st.booleans(), max_size=2000))
def test_hedges_are_never_above_their_share_of_the_requests(steps: list[bool]) -> None:
    budget, requests, hedges = hedge_budget(), 0, 0
    for is_request in steps:
        if is_request:
            budget.request()
            requests += 1
        else:
            hedges += budget.take()
        assert hedges <= HEDGE_SHARE * requests + 1e-6


def test_a_budget_that_is_used_fills_again() -> None:
    budget = hedge_budget()
    for _ in range(51):
        budget.request()

    assert [budget.take(), budget.take()] == [True, False]


@given(st.lists(st.floats(0, 100), min_size=ENOUGH, max_size=3 * WINDOW))
def test_the_95th_percentile_is_that_of_the_last_latencies(latencies: list[float]) -> None:
    recent = Latencies()
    for latency in latencies:
        recent.add(latency)
    window = sorted(latencies[-WINDOW:])

    assert recent.p95() == window[len(window) * 95 // 100]


def test_few_latencies_have_no_percentile() -> None:
    recent = Latencies()
    for _ in range(ENOUGH - 1):
        recent.add(1.0)

    assert recent.p95() is None


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), failing=st.floats(0, 1), slow=st.floats(0, 0.3))
def test_a_client_sends_little_more_than_its_calls_whatever_fails(
    new_world: Any, seed: int, failing: float, slow: float
) -> None:
    """Counted at the regions: all that arrives, above one for each call, was a retry or a hedge."""
    random, world, calls = Random(seed), new_world(), 250

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(1.0 if random.random() < slow else 0.01)
        if random.random() < failing:
            if random.random() < 0.5:
                raise httpx.ReadError("cut", request=request)
            refused: httpx.Response = world.problem(random.choice([503, 429]), "store-busy")
            return refused
        good: httpx.Response = world.found() if request.method == "GET" else world.written()
        return good

    async def story(kv: AsyncClient) -> None:
        async def call() -> None:
            await asyncio.sleep(random.random() * 60)
            with contextlib.suppress(KvClientError):
                await (kv.get("demo", "a") if random.random() < 0.7 else kv.put("demo", "a", b""))

        await asyncio.gather(*(call() for _ in range(calls)))

    world.regions["eu"] = world.regions["us"] = answer
    world.tell(story)

    assert len(world.seen) - calls <= (RETRY_SHARE + HEDGE_SHARE) * calls + RETRY_CAP


def usual(world: Any, response: httpx.Response) -> list[Any]:
    """60 answers of which the 95th percentile took 30 ms."""
    return [world.after(0.03, response)] * 5 + [world.after(0.01, response)] * 55


async def warmed_up(kv: AsyncClient, calls: int) -> None:
    for _ in range(calls):
        await kv.get("demo", "warm")


def test_a_read_that_takes_long_is_sent_once_more_and_the_first_answer_wins(world: Any) -> None:
    slow = world.after(5.0, world.found(b"late"))
    world.regions["eu"] = world.in_turn(*usual(world, world.found()), slow, world.found(b"soon"))

    async def story(kv: AsyncClient) -> Any:
        await warmed_up(kv, 60)
        return await kv.get("demo", "hello")

    record = world.tell(story)

    assert record.value == b"soon"
    assert world.seen[-1].at_s - world.seen[-2].at_s == pytest.approx(0.03)  # the 95th percentile
    assert world.lasted_s == pytest.approx(world.seen[-1].at_s)


def test_a_hedged_write_is_one_write(world: Any) -> None:
    slow = world.after(5.0, world.written())
    world.regions["eu"] = world.in_turn(*usual(world, world.written()), slow, world.written())

    async def story(kv: AsyncClient) -> None:
        for _ in range(61):
            await kv.put("demo", "hello", b"v")

    world.tell(story)
    keys = world.sent("idempotency-key")

    assert len(keys) == 62
    assert keys[60] == keys[61]
    assert len(set(keys)) == 61


def test_the_one_that_lost_is_ended(world: Any) -> None:
    ended = []

    async def slow(_request: httpx.Request) -> httpx.Response:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            ended.append(True)
            raise
        raise AssertionError

    world.regions["eu"] = world.in_turn(*usual(world, world.found()), slow, world.found())

    async def story(kv: AsyncClient) -> None:
        await warmed_up(kv, 61)
        assert ended == [True]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    world.tell(story)


def test_nothing_is_hedged_before_there_are_enough_latencies(world: Any) -> None:
    world.regions["eu"] = world.in_turn(
        *[world.after(0.01, world.found())] * (ENOUGH - 1), world.after(2, world.found())
    )
    world.tell(lambda kv: warmed_up(kv, ENOUGH))

    assert len(world.seen) == ENOUGH


@pytest.mark.parametrize(("status", "slug"), [(401, "unauthenticated"), (429, "rate-limited"), (503, "overloaded")])
def test_a_hedge_does_not_hide_that_a_write_may_have_been_done(world: Any, status: int, slug: str) -> None:
    """The first copy breaks, and the second is refused: what became of the first is not known."""
    refused = world.problem(status, slug, retry_after="60")

    async def breaks(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(1)
        raise httpx.ReadError("cut", request=request)

    world.regions["eu"] = world.in_turn(*usual(world, world.written()), breaks, refused)

    async def story(kv: AsyncClient) -> None:
        for _ in range(60):
            await kv.put("demo", "a", b"")
        with pytest.raises(OutcomeUnknown):
            await kv.put("demo", "a", b"")

    world.tell(story)

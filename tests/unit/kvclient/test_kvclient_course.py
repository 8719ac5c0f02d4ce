"""The course of a call: what is tried again, where, and when it is given up."""

import asyncio
from typing import Any

import httpx
import pytest

from kvclient import (
    AsyncClient,
    DeadlineExceeded,
    Delete,
    KvClientError,
    NotHome,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    SessionNotSatisfied,
    Unavailable,
)
from kvclient.regions import FAILURES, OPEN_S

REFUSED = httpx.ConnectError("refused")
CUT = httpx.ReadError("cut")
HANGS = 1e6


def put(kv: AsyncClient) -> Any:
    return kv.put("demo", "hello", b"v")


def get(kv: AsyncClient) -> Any:
    return kv.get("demo", "hello")


@pytest.mark.parametrize("call", [get, put])
@pytest.mark.parametrize("failure", ["cut", "503", "503 of a gateway", "504", "500", "429"])
def test_what_fails_for_a_moment_is_tried_again(world: Any, call: Any, failure: str) -> None:
    first = {
        "cut": CUT,
        "503": world.problem(503, "overloaded"),
        "503 of a gateway": httpx.Response(503, text="upstream reset"),
        "504": world.problem(504, "outcome-unknown"),
        "500": world.problem(500, "internal"),
        "429": world.problem(429, "rate-limited"),
    }[failure]
    world.regions["eu"] = world.in_turn(first, world.found() if call is get else world.written())
    world.tell(call)

    assert world.asked == ["eu", "eu"]
    assert len(set(world.sent("idempotency-key"))) == 1


def test_each_write_has_a_key_of_its_own(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.written())

    async def story(kv: AsyncClient) -> None:
        await put(kv)
        await put(kv)

    world.tell(story)

    assert len(set(world.sent("idempotency-key"))) == 2


def test_batches_of_one_call_have_keys_of_their_own_and_keep_them_when_tried_again(world: Any) -> None:
    answers = [CUT, *[httpx.Response(200, json={"results": [{"status": 204}] * 100})] * 3]
    world.regions["eu"] = world.in_turn(*answers)
    world.tell(lambda kv: kv.write_many("demo", [Delete(str(n)) for n in range(200)], idempotency_key="k"))

    assert sorted(world.sent("idempotency-key")) == ["k.0", "k.0", "k.1"]


def test_what_the_service_asks_to_wait_is_waited(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.problem(429, "rate-limited", retry_after="3"), world.found())
    world.tell(get)

    assert world.seen[1].at_s == pytest.approx(3)


def test_a_wait_that_does_not_fit_into_the_deadline_is_not_begun(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.problem(429, "rate-limited", retry_after="30"))

    with pytest.raises(RateLimited) as caught:
        world.tell(get)
    assert caught.value.retry_after_s == 30
    assert (world.lasted_s, len(world.seen)) == (0, 1)


@pytest.mark.parametrize(("call", "error"), [(get, DeadlineExceeded), (put, OutcomeUnknown)])
@pytest.mark.parametrize("deadline_s", [0.2, 1.0, 7.0])
def test_the_deadline_is_that_of_all_attempts_together(
    world: Any, call: Any, error: type[KvClientError], deadline_s: float
) -> None:
    world.regions["eu"] = world.after(HANGS, world.found())
    world.regions["us"] = world.after(HANGS, world.found())

    with pytest.raises(error):
        world.tell(call, deadline_s=deadline_s)
    assert world.lasted_s <= deadline_s + 1e-6


def test_the_service_is_told_what_is_left_of_the_deadline(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.after(HANGS, world.found()), world.problem(503, "overloaded"), CUT, CUT)

    with pytest.raises(Unavailable):
        world.tell(get, deadline_s=8.0)
    allowed = [seen.at_s + float(seen.request.headers["kv-deadline-ms"]) / 1000 for seen in world.seen]

    assert allowed[0] == pytest.approx(4 - 0.05)  # half, so that another attempt fits
    assert all(until < 8 for until in allowed)


def test_a_client_that_retries_too_much_gives_up_at_once(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.problem(503, "overloaded"))

    async def story(kv: AsyncClient) -> list[int]:
        attempts = []
        for _ in range(30):
            before = len(world.seen)
            with pytest.raises(Unavailable):
                await get(kv)
            attempts.append(len(world.seen) - before)
        return attempts

    assert world.tell(story)[-5:] == [1] * 5


def test_who_answered_tells_more_than_who_does_not_listen(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.problem(429, "rate-limited"), REFUSED)

    with pytest.raises(RateLimited):
        world.tell(get)
    assert len(world.asked) > 1


def test_a_region_where_nobody_listens_is_passed_over_at_once(world: Any) -> None:
    world.regions |= {"eu": world.in_turn(REFUSED), "us": world.in_turn(world.written())}

    async def story(kv: AsyncClient) -> None:
        for _ in range(3):
            await put(kv)

    world.tell(story)

    assert world.asked == ["eu", "us", "us", "us"]
    assert world.lasted_s == 0


def test_going_on_to_the_next_region_is_no_retry(world: Any) -> None:
    """Else a region that goes away would take the calls under way beyond the budget with it."""
    world.regions |= {"eu": world.in_turn(REFUSED), "us": world.in_turn(world.written())}

    async def refused(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(1)
        raise REFUSED

    async def story(kv: AsyncClient) -> None:
        await asyncio.gather(*(put(kv) for _ in range(100)))

    world.regions["eu"] = refused
    world.tell(story)

    assert world.asked == ["eu"] * 100 + ["us"] * 100


def test_a_gateway_without_pods_is_a_region_where_nobody_listens(world: Any) -> None:
    world.regions |= {
        "eu": world.in_turn(httpx.Response(503, text="no healthy upstream")),
        "us": world.in_turn(world.written()),
    }
    world.tell(put)

    assert world.asked == ["eu", "us"]


def test_a_region_that_fails_again_and_again_is_passed_over(world: Any) -> None:
    world.regions |= {"eu": world.in_turn(CUT), "us": world.in_turn(world.found())}
    world.tell(get)

    assert world.asked == ["eu"] * FAILURES + ["us"]


def test_a_region_that_fails_is_tried_by_one_and_comes_back(world: Any) -> None:
    world.regions |= {"eu": world.in_turn(REFUSED, REFUSED, world.found()), "us": world.in_turn(world.found())}

    async def story(kv: AsyncClient) -> list[str]:
        await get(kv)  # eu refuses
        await asyncio.sleep(OPEN_S)
        del world.seen[:]
        await asyncio.gather(get(kv), get(kv))  # one tries it, in vain
        assert world.asked == ["eu", "us", "us"]
        await asyncio.sleep(OPEN_S)
        await get(kv)
        del world.seen[:]
        await get(kv)
        return list(world.asked)

    assert world.tell(story) == ["eu"]


def test_the_named_home_is_asked_first(world: Any) -> None:
    world.regions |= {"eu": world.in_turn(world.found()), "us": world.in_turn(world.found())}
    world.tell(get, home="us")

    assert world.asked == ["us"]


def test_a_write_that_may_have_been_done_goes_to_no_other_region(world: Any) -> None:
    world.regions |= {"eu": world.in_turn(CUT, REFUSED), "us": world.in_turn(world.written())}

    with pytest.raises(OutcomeUnknown, match=r"no connection to eu.* It may have been done, or not") as caught:
        world.tell(put)
    assert set(world.asked) == {"eu"}
    assert {caught.value.idempotency_key} == set(world.sent("idempotency-key"))


def test_a_write_that_may_have_been_done_goes_elsewhere_if_the_caller_says_so(world: Any) -> None:
    world.regions |= {"eu": world.in_turn(CUT, REFUSED), "us": world.in_turn(world.written())}
    world.tell(put, repeat_writes_elsewhere=True)

    assert world.asked == ["eu", "eu", "us"]


def test_a_write_that_the_service_did_not_begin_goes_elsewhere_and_does_not_wait_there(world: Any) -> None:
    failing = world.problem(503, "store-unavailable", retry_after="3")
    world.regions |= {"eu": world.in_turn(failing), "us": world.in_turn(failing, world.written())}
    world.tell(put)

    assert world.asked[:2] == ["eu", "us"]
    assert world.seen[1].at_s < 3 <= world.seen[2].at_s


def test_a_read_that_gets_no_answer_goes_elsewhere_a_write_may_not(world: Any) -> None:
    world.regions |= {"eu": world.after(HANGS, world.found()), "us": world.in_turn(world.found())}
    world.tell(get)
    assert world.asked == ["eu", "us"]

    with pytest.raises(OutcomeUnknown):
        world.tell(put)
    assert set(world.asked[2:]) == {"eu"}


def test_a_session_that_one_region_cannot_satisfy_is_taken_to_the_next_and_back(world: Any) -> None:
    behind = world.problem(409, "session-not-satisfied")
    world.regions |= {"eu": world.in_turn(behind, world.found()), "us": world.in_turn(behind)}
    world.tell(get)

    assert world.asked == ["eu", "us", "eu"]


def test_a_limit_says_nothing_of_an_attempt_before_it(world: Any) -> None:
    world.regions["eu"] = world.in_turn(CUT, world.problem(429, "rate-limited", retry_after="60"))

    with pytest.raises(OutcomeUnknown):
        world.tell(put)


def test_a_later_attempt_settles_what_became_of_the_first(world: Any) -> None:
    world.regions["eu"] = world.in_turn(CUT, world.problem(422, "idempotency-mismatch"))

    with pytest.raises(Rejected, match="idempotency-mismatch"):
        world.tell(put)


def test_a_write_is_taken_to_the_home_that_the_service_names_and_the_next_goes_there_at_once(world: Any) -> None:
    world.regions |= {
        "eu": world.in_turn(world.problem(421, "not-home", home="us")),
        "us": world.in_turn(world.written()),
    }

    async def story(kv: AsyncClient) -> None:
        await put(kv)
        await put(kv)

    world.tell(story)

    assert world.asked == ["eu", "us", "us"]
    assert len(set(world.sent("idempotency-key"))) == 2


def test_only_the_writes_of_that_namespace_go_to_its_home(world: Any) -> None:
    world.regions |= {
        "eu": world.in_turn(world.problem(421, "not-home", home="us"), world.found(), world.written()),
        "us": world.in_turn(world.written()),
    }

    async def story(kv: AsyncClient) -> None:
        await put(kv)
        await get(kv)
        await kv.put("other", "hello", b"")

    world.tell(story)

    assert world.asked == ["eu", "us", "eu", "eu"]


@pytest.mark.parametrize("home", ["ap", "eu"])
def test_a_home_that_leads_nowhere_is_told(world: Any, home: str) -> None:
    world.regions["eu"] = world.in_turn(world.problem(421, "not-home", home=home))

    with pytest.raises(NotHome) as caught:
        world.tell(put)
    assert caught.value.home == home


def test_a_home_that_moved_is_followed(world: Any) -> None:
    world.regions |= {
        "eu": world.in_turn(world.problem(421, "not-home", home="us"), world.written()),
        "us": world.in_turn(world.written(), world.problem(421, "not-home", home="eu")),
    }

    async def story(kv: AsyncClient) -> None:
        await put(kv)
        await put(kv)
        await put(kv)

    world.tell(story)

    assert world.asked == ["eu", "us", "us", "eu", "eu"]


def test_a_region_behind_the_session_is_asked_again_and_then_told(world: Any) -> None:
    behind = world.problem(409, "session-not-satisfied")
    world.regions["eu"] = world.in_turn(behind, world.found())
    world.tell(get)
    assert len(world.seen) == 2

    world.regions["eu"] = world.in_turn(behind)
    with pytest.raises(SessionNotSatisfied):
        world.tell(get, deadline_s=0.5)


def test_when_all_connections_are_busy_the_message_says_so(world: Any) -> None:
    world.regions["eu"] = world.in_turn(httpx.PoolTimeout(""))

    with pytest.raises(Unavailable, match="all connections to eu are busy; wait for some of them, or raise max_conn"):
        world.tell(put)


def test_a_header_that_cannot_be_sent_is_misuse_and_not_tried_again(world: Any) -> None:
    world.regions["eu"] = world.in_turn(httpx.LocalProtocolError("Illegal header value b'a\\n'"))

    with pytest.raises(ValueError, match="Illegal header value"):
        world.tell(put)
    assert len(world.seen) == 1


def test_messages_say_what_was_asked_what_was_seen_and_why_it_ended(world: Any) -> None:
    world.regions["eu"] = world.in_turn(REFUSED)

    with pytest.raises(Unavailable) as caught:
        world.tell(get, deadline_s=0.05)
    assert str(caught.value) == (
        "GET /v1/kv/demo/hello: no connection to eu: refused; the deadline leaves no time for another attempt"
    )

"""The read path between cache and store, in virtual time."""

import asyncio
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvcaching import KEY, FillingPod, Kept, MemoryCache, MemoryStore, envelope, in_virtual_time, now_s

from kvservice.core.envelope import never_written
from kvservice.core.filling import LOOK_AGAIN_S, POLL_S, REFRESHES, WAIT_S, refresh_chance
from kvservice.core.ports import Key
from kvservice.errors import StoreUnavailable

STORE_S = 0.2
ONE, TWO = envelope(256, b"one"), envelope(512, b"two")


class Region:
    """Two pods, one store that takes STORE_S for a read, one cache."""

    def __init__(self) -> None:
        self.store = MemoryStore(pause=lambda: asyncio.sleep(STORE_S / 2), envelopes={KEY: ONE})
        self.cache = MemoryCache()
        self.here, self.there = (FillingPod(self.store, self.cache, now_s) for _ in range(2))

    def keep(self, envelope: bytes, age_s: float, cost_s: float = STORE_S, key: Key = KEY) -> None:
        self.cache.kept[key] = Kept(envelope, now_s() - age_s, cost_s)


@pytest.fixture
def region() -> Region:
    return Region()


async def took_s(work: Callable[[], object]) -> float:
    began_s = now_s()
    await work()  # type: ignore[misc]
    return now_s() - began_s


@in_virtual_time
async def test_a_fresh_copy_is_the_answer_with_its_age(region: Region) -> None:
    region.keep(ONE, age_s=7)

    assert await region.here.read() == (ONE, 7, None)
    assert region.store.reads == 0


@in_virtual_time
async def test_a_miss_is_filled_from_the_store_with_what_it_cost(region: Region) -> None:
    assert await region.here.read() == (ONE, None, None)
    kept = region.cache.kept[KEY]
    assert kept.envelope == ONE
    assert kept.asked_s == pytest.approx(1_000)
    assert kept.cost_s == pytest.approx(STORE_S)


@in_virtual_time
async def test_that_the_store_has_nothing_is_kept_too(region: Region) -> None:
    region.store.envelopes.clear()
    answers = [await region.here.read() for _ in range(2)]

    assert [answer.envelope for answer in answers] == [never_written()] * 2
    assert region.store.reads == 1


@in_virtual_time
async def test_a_stale_copy_is_filled_anew(region: Region) -> None:
    region.keep(ONE, age_s=61)
    region.store.envelopes[KEY] = TWO

    assert await region.here.value() == b"two"
    assert region.cache.kept[KEY].envelope == TWO


@in_virtual_time
async def test_misses_of_a_pod_join_one_read_of_the_store(region: Region) -> None:
    answers = await asyncio.gather(*(region.here.read() for _ in range(100)))

    assert {answer.envelope for answer in answers} == {ONE}
    assert region.store.reads == 1


@in_virtual_time
async def test_what_a_joined_read_brings_has_the_age_of_its_begin(region: Region) -> None:
    first = asyncio.create_task(region.here.read())
    await asyncio.sleep(0.15)
    joined = await region.here.read()

    assert joined.age_s == pytest.approx(STORE_S)
    assert (await first).age_s is None


@in_virtual_time
async def test_a_joined_read_that_is_too_old_for_a_request_makes_it_ask_for_itself(region: Region) -> None:
    first = asyncio.create_task(region.here.read())
    await asyncio.sleep(0.15)
    region.store.envelopes[KEY] = TWO

    assert await region.here.value(least=512) == b"two"
    assert (await first).envelope == ONE


@in_virtual_time
async def test_a_read_after_a_write_joins_no_earlier_one(region: Region) -> None:
    first = asyncio.create_task(region.here.read())
    await asyncio.sleep(0.15)
    region.store.envelopes[KEY] = TWO
    region.here.filling.wrote(KEY)
    region.cache.leases.clear()

    assert await region.here.value() == b"two"
    assert (await first).envelope == ONE


@in_virtual_time
async def test_a_cancelled_request_leaves_its_read_to_those_who_joined(region: Region) -> None:
    first = asyncio.create_task(region.here.read())
    await asyncio.sleep(0)
    joined = asyncio.create_task(region.here.read())
    await asyncio.sleep(0.1)
    first.cancel()

    assert (await joined).envelope == ONE
    assert region.store.reads == 1


@in_virtual_time
async def test_the_other_pods_wait_for_the_leases_holder(region: Region) -> None:
    answers = await asyncio.gather(*(pod.read() for pod in (region.here, region.there) for _ in range(100)))

    assert {answer.envelope for answer in answers} == {ONE}
    assert region.store.reads == 1
    assert region.there.counts == {"leased": 100}


@in_virtual_time
async def test_a_holder_that_dies_is_waited_for_no_longer_than_its_lease(region: Region) -> None:
    await region.cache.lease(KEY)
    elapsed_s = await took_s(region.here.read)

    assert WAIT_S + STORE_S <= elapsed_s <= WAIT_S + STORE_S + 2 * POLL_S


@in_virtual_time
async def test_what_the_holder_brought_is_judged_as_a_copy(region: Region) -> None:
    first = asyncio.create_task(region.there.read())
    await asyncio.sleep(0.15)
    region.store.envelopes[KEY] = TWO

    assert await region.here.value(least=512) == b"two"
    assert (await first).envelope == ONE


@in_virtual_time
async def test_one_who_was_slow_to_ask_for_the_lease_looks_again(region: Region) -> None:
    fetched_late = MemoryCache.get

    async def get(key: Key) -> None:
        region.cache.get = lambda key: fetched_late(region.cache, key)  # type: ignore[method-assign]
        region.keep(ONE, age_s=0)
        await asyncio.sleep(LOOK_AGAIN_S * 2)

    region.cache.get = get  # type: ignore[method-assign]

    assert (await region.here.read()).envelope == ONE
    assert region.store.reads == 0


@in_virtual_time
async def test_a_fresh_copy_that_is_not_allowed_is_passed_over(region: Region) -> None:
    region.keep(ONE, age_s=1)
    region.store.envelopes[KEY] = TWO

    assert await region.here.read(least=512) == (TWO, None, None)
    assert region.cache.kept[KEY].envelope == TWO


@in_virtual_time
async def test_when_the_store_fails_an_old_copy_says_how_old_it_is(region: Region) -> None:
    region.keep(ONE, age_s=100)
    region.store.is_away = True

    fetched = await region.here.read()

    assert fetched.envelope == ONE
    assert fetched.age_s == pytest.approx(100.1)
    assert fetched.stale_s == pytest.approx(40.1)


@in_virtual_time
async def test_a_store_that_fails_makes_nobody_wait_for_a_lease(region: Region) -> None:
    region.keep(ONE, age_s=100)
    region.store.is_away = True
    await region.here.read()
    began_s = now_s()
    answers = await asyncio.gather(*(region.here.read() for _ in range(10)))

    assert {answer.envelope for answer in answers} == {ONE}
    assert now_s() - began_s < STORE_S


@in_virtual_time
async def test_an_old_copy_is_no_answer_to_one_who_does_not_allow_it(region: Region) -> None:
    region.keep(ONE, age_s=100)
    region.store.is_away = True

    with pytest.raises(StoreUnavailable):
        await region.here.read(least=512)
    with pytest.raises(StoreUnavailable):
        await region.here.filling.read(KEY, allows=lambda *_: True, may_be_stale=False)


@in_virtual_time
async def test_without_a_copy_the_stores_failure_is_the_answer(region: Region) -> None:
    region.store.is_away = True

    failures = await asyncio.gather(*(region.here.read() for _ in range(3)), return_exceptions=True)

    assert [type(failure) for failure in failures] == [StoreUnavailable] * 3


@pytest.mark.parametrize("fails", [{"get"}, {"lease"}, {"offer"}, {"lease", "offer"}, {"get", "lease", "offer"}])
@in_virtual_time
async def test_a_failing_cache_costs_a_read_one_timeout_and_no_more(region: Region, fails: set[str]) -> None:
    region.cache.fails = fails
    elapsed_s = await took_s(region.here.read)

    assert elapsed_s == pytest.approx(STORE_S + region.cache.timeout_s)


@in_virtual_time
async def test_a_suspect_key_is_read_from_the_store_and_not_offered(region: Region) -> None:
    region.keep(ONE, age_s=1)
    region.store.envelopes[KEY] = TWO
    region.cache.fails = {"offer"}
    await region.here.suspects.publish(KEY, TWO)
    region.cache.calls.clear()

    assert await region.here.value() == b"two"
    assert region.cache.calls == []


@in_virtual_time
async def test_a_copy_from_the_future_is_ignored_and_counted(region: Region) -> None:
    region.keep(envelope(10_000), age_s=1)
    region.here.clock.highest = 9_999
    answers = [await region.here.read() for _ in range(2)]

    assert [answer.envelope for answer in answers] == [ONE] * 2
    assert region.here.counts["future"] >= 2
    assert now_s() - 1_000 < WAIT_S


@pytest.mark.parametrize("copy", [b"", b"no envelope", b"\0" * 16 + b"\x80" + b"\0" * 20, b"\0" * 17 + b"\1\0\xff"])
@in_virtual_time
async def test_a_copy_that_cannot_be_read_is_ignored_and_counted(region: Region, copy: bytes) -> None:
    region.keep(copy, age_s=1)

    assert await region.here.value() == b"one"
    assert region.here.counts["unreadable"] >= 1


@in_virtual_time
async def test_asking_the_store_joins_nobody_and_tells_the_cache(region: Region) -> None:
    answers = await asyncio.gather(*(region.here.filling.read_store(KEY) for _ in range(3)))

    assert answers == [(ONE, None, None)] * 3
    assert region.store.reads == 3
    assert region.cache.kept[KEY].envelope == ONE


@in_virtual_time
async def test_what_less_than_a_quorum_says_is_not_for_the_cache(region: Region) -> None:
    await region.here.filling.read_store(KEY, quorum=False)

    assert not region.cache.kept


@in_virtual_time
async def test_a_copy_is_refreshed_before_its_end_without_waiting(region: Region) -> None:
    region.keep(ONE, age_s=60 - STORE_S)  # a chance of 1/e
    region.store.envelopes[KEY] = TWO
    region.here.chance = 0.36
    elapsed_s = await took_s(region.here.read)
    await asyncio.sleep(2 * STORE_S)

    assert elapsed_s == 0
    assert region.cache.kept[KEY].envelope == TWO


@in_virtual_time
async def test_whether_it_is_refreshed_is_a_matter_of_chance(region: Region) -> None:
    region.keep(ONE, age_s=60 - STORE_S)
    region.here.chance = 0.37
    await region.here.read()
    await asyncio.sleep(2 * STORE_S)

    assert region.store.reads == 0


@in_virtual_time
async def test_one_of_the_region_refreshes_it(region: Region) -> None:
    region.keep(ONE, age_s=59.9)
    for pod in (region.here, region.there):
        pod.chance = 0.0
    await asyncio.gather(*(pod.read() for pod in (region.here, region.there) for _ in range(100)))
    await asyncio.sleep(2 * STORE_S)

    assert region.cache.calls.count("lease") == 2, "one try of each pod"
    assert region.store.reads == 1


@in_virtual_time
async def test_early_refreshes_are_bounded(region: Region) -> None:
    keys = [Key("ns", str(number)) for number in range(REFRESHES + 10)]
    for key in keys:
        region.keep(ONE, age_s=59.9, key=key)
    region.here.chance = 0.0
    for key in keys:
        await region.here.read(key)
    await asyncio.sleep(2 * STORE_S)

    assert region.store.reads == REFRESHES


@in_virtual_time
async def test_a_refresh_that_fails_hurts_nobody(region: Region) -> None:
    region.keep(ONE, age_s=59)
    region.here.chance = 0.0
    region.store.is_away = True
    answers = [await region.here.read()]
    await asyncio.sleep(2 * STORE_S)
    answers += [await region.here.read()]

    assert [answer.envelope for answer in answers] == [ONE] * 2


@in_virtual_time
async def test_what_is_under_way_ends_with_the_pod(region: Region) -> None:
    reading = asyncio.create_task(region.here.read())
    await asyncio.sleep(0.1)
    await region.here.filling.close()
    await asyncio.wait([reading])

    assert reading.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@given(fresh_s=st.floats(1e-6, 1e4), cost_s=st.floats(1e-6, 10), chance=st.floats(1e-9, 1, exclude_max=True))
def test_the_chance_of_a_refresh_is_the_papers(fresh_s: float, cost_s: float, chance: float) -> None:
    """Which draws -beta * cost * ln(rand) and compares it with the time that is left."""
    drawn_s = -cost_s * math.log(chance)
    if not math.isclose(drawn_s, fresh_s):
        assert (chance < refresh_chance(fresh_s, cost_s)) == (drawn_s > fresh_s)


@pytest.mark.parametrize(
    ("fresh_s", "cost_s", "chance"),
    [(10, 0.4, math.exp(-25)), (0, 1, 1), (-5, 1, 1), (1, 1, 1 / math.e), (1, 0, 0), (0, 0, 0)],
)
def test_the_chance_of_a_refresh_at_some_points(fresh_s: float, cost_s: float, chance: float) -> None:
    assert refresh_chance(fresh_s, cost_s) == pytest.approx(chance)

"""Clock skew: a pod whose clock is off makes no versions, and is back by itself. In virtual time."""

import asyncio

import pytest
from kvcaching import MemoryCache, in_virtual_time, now_s
from kvregion import PLAIN, Pod, WholeStore, now_us

from kvservice.core.skew import FIRST_PERIOD_S, PERIOD_S, Skew
from kvservice.errors import CacheUnavailable, ClockSkew, StoreUnavailable

SECOND = 1_000_000


class Reference:
    """A clock that is `ahead_s` of the true time, `delay_s` away; with `is_lopsided`, all of that is the way there."""

    def __init__(self, ahead_s: float = 0.0, delay_s: float = 0.002) -> None:
        self.ahead_s = ahead_s
        self.delays_s = [delay_s]
        self.is_lopsided = False
        self.error: Exception | None = None
        self.has_clock = True

    async def now_us(self) -> int | None:
        delay_s = self.delays_s.pop(0) if len(self.delays_s) > 1 else self.delays_s[0]
        await asyncio.sleep(delay_s if self.is_lopsided else delay_s / 2)
        if self.error:
            raise self.error
        answer = now_us() + round(self.ahead_s * SECOND) if self.has_clock else None
        await asyncio.sleep(0 if self.is_lopsided else delay_s / 2)
        return answer


class Machine:
    """A pod's clock, which is `ahead_s` of the true time."""

    def __init__(self, **references: Reference) -> None:
        self.ahead_s = 0.0
        self.references = references
        self.skew = Skew(
            references={name: each.now_us for name, each in references.items()}, now_us=self.now_us, now_s=now_s
        )

    def now_us(self) -> int:
        return now_us() + round(self.ahead_s * SECOND)

    async def is_refused(self) -> bool:
        await self.skew.look()
        return self.skew.objection() is not None


@in_virtual_time
async def test_a_clock_that_agrees_is_trusted() -> None:
    machine = Machine(store=Reference(), cache=Reference())

    assert not await machine.is_refused()
    assert abs(machine.skew.offset_s()) < 0.001


@pytest.mark.parametrize("ahead_s", [5.0, -5.0, 0.51, -0.51])
def test_a_clock_that_is_off_is_not_trusted_and_it_is_told_by_how_much(ahead_s: float) -> None:
    @in_virtual_time
    async def test() -> None:
        machine = Machine(store=Reference())
        machine.ahead_s = ahead_s

        assert await machine.is_refused()
        assert f"{ahead_s:+.1f} s from store" in str(machine.skew.objection())

    test()


@in_virtual_time
async def test_a_small_offset_is_no_reason() -> None:
    machine = Machine(store=Reference())
    machine.ahead_s = 0.49

    assert not await machine.is_refused()


@in_virtual_time
async def test_a_clock_set_right_is_trusted_again_at_once() -> None:
    machine = Machine(store=Reference())
    machine.ahead_s = 5
    await machine.skew.look()
    machine.ahead_s = 0

    assert machine.skew.objection() is None


@in_virtual_time
async def test_a_clock_that_is_moved_is_noticed_before_the_next_look() -> None:
    machine = Machine(store=Reference())
    await machine.skew.look()
    machine.ahead_s = 5

    assert machine.skew.objection() is not None


@in_virtual_time
async def test_without_a_reference_a_jump_counts_until_the_next_look() -> None:
    machine, without = Machine(), Machine(store=Reference())
    without.references["store"].has_clock = False
    for each in (machine, without):
        await each.skew.look()
        each.ahead_s = 5

        assert "where it was a moment ago" in str(each.skew.objection())
        assert not await each.is_refused()


@in_virtual_time
async def test_one_reference_that_agrees_is_enough() -> None:
    machine = Machine(store=Reference(), cache=Reference(ahead_s=60))

    assert not await machine.is_refused()
    machine.ahead_s = 30
    assert await machine.is_refused()


@in_virtual_time
async def test_the_answer_of_the_shortest_round_trip_counts() -> None:
    reference = Reference()
    reference.delays_s, reference.is_lopsided = [0.9, 0.001, 0.8], True
    machine = Machine(store=reference)
    await machine.skew.look()

    assert abs(machine.skew.offset_s()) < 0.002


@in_virtual_time
async def test_a_slow_reference_is_not_taken_for_a_clock_that_is_off() -> None:
    reference = Reference(ahead_s=0.4, delay_s=0.3)
    reference.is_lopsided = True

    assert not await Machine(store=reference).is_refused()


@pytest.mark.parametrize("error", [StoreUnavailable("away"), CacheUnavailable("away")])
def test_when_no_reference_answers_the_last_verdict_stays(error: Exception) -> None:
    @in_virtual_time
    async def test() -> None:
        machine = Machine(store=Reference())
        machine.ahead_s = 5
        await machine.skew.look()
        machine.references["store"].error = error

        assert await machine.is_refused()

    test()


@in_virtual_time
async def test_the_verdict_stays_when_the_only_reference_with_a_clock_fails() -> None:
    machine = Machine(store=Reference(), cache=Reference())
    machine.references["store"].has_clock = False
    machine.ahead_s = 5
    assert await machine.is_refused()

    machine.references["cache"].error = CacheUnavailable("away")
    assert await machine.is_refused()


@in_virtual_time
async def test_at_the_beginning_a_reference_gets_another_chance() -> None:
    machine = Machine(cache=Reference())
    machine.ahead_s = 5
    machine.references["cache"].error = CacheUnavailable("away")
    beginning = asyncio.create_task(machine.skew.begin())
    await asyncio.sleep(FIRST_PERIOD_S * 1.5)
    machine.references["cache"].error = None
    await beginning

    assert machine.skew.objection() is not None


@in_virtual_time
async def test_a_cache_that_is_away_does_not_keep_a_pod_from_beginning() -> None:
    machine = Machine(cache=Reference())
    machine.references["cache"].error = CacheUnavailable("away")
    await machine.skew.begin()

    assert machine.skew.objection() is None


@in_virtual_time
async def test_a_reference_that_does_not_answer_holds_nobody_up() -> None:
    machine = Machine(store=Reference(delay_s=1000), cache=Reference())
    machine.ahead_s = 5
    begin_s = now_s()

    assert await machine.is_refused()
    assert now_s() - begin_s < PERIOD_S


@in_virtual_time
async def test_watching_finds_out_and_forgets() -> None:
    reference = Reference()
    machine = Machine(store=reference)
    watching = asyncio.create_task(machine.skew.watch())
    await asyncio.sleep(PERIOD_S + 1)
    reference.ahead_s = -5
    await asyncio.sleep(PERIOD_S)
    off = machine.skew.objection()
    reference.ahead_s = 0
    await asyncio.sleep(PERIOD_S)
    watching.cancel()

    assert off is not None
    assert machine.skew.objection() is None


def test_only_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def test() -> None:
        machine = Machine(store=Reference())
        for ahead_s in (0, 5, 5, 0, 0):
            machine.ahead_s = ahead_s
            await machine.skew.look()

    test()

    assert [record.message for record in caplog.records] == ["clock_is_off", "clock_agrees"]


@in_virtual_time
async def test_a_pod_5_s_ahead_is_refused_its_writes_and_hides_nothing() -> None:
    store, cache, reference = WholeStore(), MemoryCache(), Reference()
    machine = Machine(store=reference)
    good = Pod(store, cache, slot=1)
    wrong = Pod(store, cache, slot=2, clock_us=machine.now_us, objection=machine.skew.objection)
    before = await good.records.write(PLAIN, b"before", "", good.context())
    machine.ahead_s = 5
    with pytest.raises(ClockSkew, match=r"\+5\.0 s"):
        await wrong.records.write(PLAIN, b"hidden", "", wrong.context())
    after = await good.records.write(PLAIN, b"after", "", good.context())

    assert after.version > before.version
    assert await good.value(PLAIN) == b"after"

"""Ranges: pages bounded in items, bytes and time; nothing lost, nothing twice. In virtual time."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvcaching import in_virtual_time, now_s
from kvregion import START_US, Pod, WholeStore, now_us, pod

from kvservice.core.envelope import Envelope, encode
from kvservice.core.namespaces import Elsewhere, Namespace
from kvservice.core.ports import Key, Page
from kvservice.core.ranges import CHUNK, PAGE_BYTES
from kvservice.core.records import Listed
from kvservice.core.request import Consistency, Context
from kvservice.errors import DeadlineExceeded, SessionNotSatisfied, UnknownNamespace

NS, ID = "plain", "id"


def holding(items: dict[str, bytes | None], **named: object) -> Pod:
    """None: a tombstone."""
    one = pod(**named)
    for item, payload in items.items():
        put(one, item, payload)
    return one


def put(one: Pod, item: str, payload: bytes | None = b"", version: int = START_US, id_: str = ID) -> None:
    envelope = Envelope(version, "here", "", payload or b"", tombstone=payload is None)
    one.store.envelopes[Key(NS, id_, item)] = encode(envelope)


async def page(
    one: Pod, *, prefix: str = "", after: str = "", limit: int = 100, context: Context | None = None
) -> Listed:
    return await one.records.items(
        NS, ID, prefix=prefix, after=after, limit=limit, context=context or one.context(seconds=60)
    )


def names(listed: Listed) -> list[str]:
    return [item for item, _ in listed.items]


async def test_live_items_come_in_the_order_of_their_bytes() -> None:
    one = holding({"b": b"2", "": b"own", "a": b"1", "é": b"4", "c": None, "z": b"3"})
    put(one, "x", b"other", id_="other")
    listed = await page(one)

    assert [(item, envelope.payload) for item, envelope in listed.items] == [
        ("a", b"1"),
        ("b", b"2"),
        ("z", b"3"),
        ("é", b"4"),
    ]
    assert listed.after is None


async def test_prefix_and_after_narrow_it() -> None:
    one = holding(dict.fromkeys(("a1", "a2", "a3", "b"), b""))

    assert names(await page(one, prefix="a", after="a1")) == ["a2", "a3"]
    assert names(await page(one, after="a2")) == ["a3", "b"]


async def test_an_id_without_items_has_an_empty_page() -> None:
    assert await page(pod()) == Listed([], None)


async def test_a_page_that_holds_exactly_all_is_the_last() -> None:
    one = holding({"a": b"", "b": b"", "c": None})

    assert (await page(one, limit=2)).after is None
    assert await page(one, limit=1) == Listed((await page(one, limit=2)).items[:1], "a")


async def test_expired_items_are_not_there() -> None:
    one = holding({"a": b""})
    one.store.envelopes[Key(NS, ID, "b")] = encode(Envelope(START_US, "here", "", b"", expires_us=now_us()))

    assert names(await page(one)) == ["a"]


async def test_a_page_holds_a_mebibyte_of_values_or_one_that_is_larger() -> None:
    half = b"x" * (PAGE_BYTES // 2)
    one = holding({"a": half, "b": half, "c": b"x", "d": half * 3, "e": b"x"})
    pages = [await page(one)]
    while (after := pages[-1].after) is not None:
        pages.append(await page(one, after=after))

    assert [names(each) for each in pages] == [["a", "b"], ["c"], ["d"], ["e"]]


async def test_many_tombstones_are_passed_over() -> None:
    one = holding({f"{number:04}": None for number in range(3 * CHUNK)} | {"9999": b""})

    assert names(await page(one, limit=1)) == ["9999"]


ITEMS = st.dictionaries(
    st.text(st.sampled_from("abcé\U0001f600"), min_size=1, max_size=4), st.none() | st.binary(max_size=3), max_size=60
)


@settings(deadline=None)
@given(ITEMS, st.integers(1, 9), st.sampled_from(["", "a", "é"]), st.lists(st.integers(0, 6), max_size=60))
def test_pages_cut_anywhere_lose_nothing_and_give_nothing_twice(
    items: dict[str, bytes | None], limit: int, prefix: str, cuts: list[int]
) -> None:
    """The store is slow now and then, so that deadlines cut pages; small chunks cut them often."""

    class Slow(WholeStore):
        async def scan(self, *where: str, limit: int, **rest: Any) -> Page:
            await asyncio.sleep(cuts.pop() * 0.25 if cuts else 0)
            return await super().scan(*where, limit=min(limit, 3), **rest)

    @in_virtual_time
    async def test() -> None:
        one = Pod(Slow(), pod().cache)
        for item, payload in items.items():
            put(one, item, payload)
        got, after = [], ""
        for _ in range(200):
            begin_s = now_s()
            try:
                listed = await page(one, prefix=prefix, after=after, limit=limit, context=one.context(seconds=1))
            except DeadlineExceeded:
                continue
            finally:
                assert now_s() - begin_s < 1
            assert len(listed.items) <= limit
            got += names(listed)
            if listed.after is None:
                break
            assert listed.after > after
            after = listed.after
        live = [item for item, payload in items.items() if payload is not None and item.startswith(prefix)]

        assert got == sorted(live, key=str.encode)

    test()


@in_virtual_time
async def test_a_namespace_that_is_not_there_is_refused() -> None:
    one = pod()
    with pytest.raises(UnknownNamespace):
        await one.records.items("other", ID, prefix="", after="", limit=1, context=one.context())


@in_virtual_time
async def test_what_a_page_showed_is_read_no_older_from_a_cache() -> None:
    one = holding({"a": b"new"})
    key = Key(NS, ID, "a")
    await one.cache.offer(key, encode(Envelope(START_US - 256, "here", "", b"old")))
    context = one.context("")
    await page(one, context=context)

    assert await one.value(key) == b"old"
    assert await one.value(key, one.context(context.session.token())) == b"new"


class TwoRegions:
    def __init__(self, elsewhere: Elsewhere) -> None:
        policies = (Namespace(name="*", session_elsewhere=elsewhere),)
        self.here, self.there = pod(policies=policies), pod(policies=policies, here="there")

    async def seen_there(self, *items: str) -> str:
        session = self.there.sessions.open("")
        for item in items:
            await self.there.records.write(Key(NS, ID, item), b"", "", self.there.context(session))
        return session.token()

    def arrive(self) -> None:
        self.here.store.envelopes |= self.there.store.envelopes


@in_virtual_time
async def test_elsewhere_a_page_waits_for_all_that_the_session_saw_of_the_id() -> None:
    regions = TwoRegions(Elsewhere.WAIT)
    token = await regions.seen_there("z", "a")
    put(regions.here, "a", b"older")
    listing = asyncio.create_task(page(regions.here, limit=1, context=regions.here.context(token)))
    await asyncio.sleep(2)
    assert not listing.done()
    regions.arrive()

    assert names(await listing) == ["a"]


@in_virtual_time
async def test_it_waits_until_shortly_before_the_deadline() -> None:
    regions = TwoRegions(Elsewhere.WAIT)
    token = await regions.seen_there("a")
    begin_s = now_s()
    with pytest.raises(SessionNotSatisfied, match="may lack items"):
        await page(regions.here, context=regions.here.context(token, seconds=1))

    assert 0.7 < now_s() - begin_s < 1


@in_virtual_time
async def test_elsewhere_a_page_is_refused_or_marked_as_the_namespace_says() -> None:
    refusing, marking = TwoRegions(Elsewhere.REFUSE), TwoRegions(Elsewhere.MARK)
    with pytest.raises(SessionNotSatisfied):
        await page(refusing.here, context=refusing.here.context(await refusing.seen_there("a")))
    context = marking.here.context(await marking.seen_there("a"))

    assert await page(marking.here, context=context) == Listed([], None)
    assert not context.session.is_satisfied


@in_virtual_time
async def test_what_has_arrived_is_listed_without_a_mark_also_over_many_rows() -> None:
    regions = TwoRegions(Elsewhere.REFUSE)
    context = regions.here.context(await regions.seen_there("zz", ""))
    for number in range(3 * CHUNK):
        put(regions.here, f"{number:04}")
    regions.arrive()
    listed = await page(regions.here, limit=1000, context=context)

    assert len(listed.items) == 3 * CHUNK + 1
    assert context.session.is_satisfied


@pytest.mark.parametrize("consistency", [Consistency.ONE, Consistency.QUORUM])
def test_who_asks_for_what_is_here_gets_it(consistency: Consistency) -> None:
    @in_virtual_time
    async def test() -> None:
        regions = TwoRegions(Elsewhere.REFUSE)
        token = await regions.seen_there("a")

        assert await page(regions.here, context=regions.here.context(token, consistency=consistency)) == Listed(
            [], None
        )

    test()

"""Reads by consistency, and sessions inside a region and across two. In virtual time."""

import asyncio
from random import Random

import pytest
from kvcaching import MemoryCache, in_virtual_time, now_s
from kvregion import CAS, PLAIN, START_US, Gate, Pod, WholeStore, after, pod, pods

from kvservice.core.envelope import Envelope, decode, encode, never_written, version_of
from kvservice.core.namespaces import Elsewhere, Namespace
from kvservice.core.ports import Key
from kvservice.core.request import Consistency
from kvservice.core.session import ENTRIES
from kvservice.errors import CacheUnavailable, SessionNotSatisfied, StoreUnavailable, UnknownNamespace

KEY = PLAIN


def old(payload: bytes = b"old", version: int = START_US, region: str = "here") -> bytes:
    return encode(Envelope(version, region, "", payload))


async def cached(each: Pod, envelope: bytes, key: Key = KEY) -> None:
    """An old copy in the cache, whatever it has."""
    each.cache.kept.pop(key, None)
    await each.cache.offer(key, envelope)


def two_regions(elsewhere: Elsewhere) -> tuple[Pod, Pod]:
    """Nothing travels between them but what a test moves."""
    policies = (Namespace(name="*", session_elsewhere=elsewhere),)
    here, there = pod(policies=policies), pod(policies=policies, here="there")
    return here, there


@in_virtual_time
async def test_a_read_after_a_write_comes_from_the_cache_with_its_age() -> None:
    one = pod()
    await one.records.write(KEY, b"one", "text/plain", one.context())
    reads = one.store.reads
    await asyncio.sleep(3)
    found = await one.records.read(KEY, one.context())

    assert found is not None
    assert found.envelope == one.stored(KEY)
    assert found.age_s is not None
    assert abs(found.age_s - 3) < 0.1
    assert (found.stale_s, found.satisfied) == (None, True)
    assert one.store.reads == reads


@in_virtual_time
async def test_quorum_asks_the_store_and_corrects_the_cache() -> None:
    one = pod()
    await cached(one, old())
    one.store.envelopes[KEY] = old(b"new", START_US + 256)
    found = await one.records.read(KEY, one.context(consistency=Consistency.QUORUM))

    assert found is not None
    assert (found.envelope.payload, found.age_s) == (b"new", None)
    assert await one.value(KEY) == b"new"


@in_virtual_time
async def test_one_takes_what_the_session_would_not() -> None:
    one = pod()
    context = one.context("")
    await one.records.write(KEY, b"new", "", context)
    await cached(one, old())

    assert await one.value(KEY, one.context(context.session, consistency=Consistency.ONE)) == b"old"
    assert await one.value(KEY, one.context(context.session)) == b"new"


@pytest.mark.parametrize("deleted", [False, True])
def test_a_session_reads_what_it_wrote_past_an_old_copy(deleted: bool) -> None:
    @in_virtual_time
    async def test() -> None:
        one, other = pods(2)
        context = one.context("")
        await one.records.write(KEY, b"new", "", context)
        if deleted:
            await one.records.delete(KEY, context)
        for copy in (old(), never_written()):
            await cached(one, copy)

            assert await other.value(KEY, other.context(context.session.token())) == (None if deleted else b"new")

    test()


@pytest.mark.parametrize("way", ["replay", "one"])
def test_what_a_session_has_forgotten_is_not_hidden_by_an_old_answer(way: str) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        await one.records.write(KEY, b"old", "", one.context(token="t"))
        copy = one.store.envelopes[KEY]
        await asyncio.sleep(1)
        context = one.context("")
        await one.records.write(KEY, b"new", "", context)
        for number in range(ENTRIES):
            await one.records.write(Key("plain", str(number)), b"", "", context)
        await cached(one, copy)
        one.cache.kept[KEY].asked_s -= 10
        if way == "replay":
            await one.records.write(KEY, b"old", "", one.context(context.session, token="t"))
            await cached(one, copy)
            one.cache.kept[KEY].asked_s -= 10
        else:
            await one.records.read(KEY, one.context(context.session, consistency=Consistency.ONE))

        assert await one.value(KEY, one.context(context.session.token())) == b"new"

    test()


@pytest.mark.parametrize("gone", [False, True])
def test_a_session_that_read_does_not_read_anything_older(gone: bool) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        one.store.envelopes[KEY] = encode(Envelope(START_US + 256, "here", "", b"new", tombstone=gone))
        context = one.context("")
        first = await one.value(KEY, context)
        await cached(one, old())

        assert await one.value(KEY, one.context(context.session.token())) == first

    test()


@in_virtual_time
async def test_a_session_does_not_get_what_a_read_that_began_before_its_write_brings() -> None:
    one, other = pods(2)
    one.store.envelopes[KEY] = old()
    gate = Gate()
    one.store.pause = after(1, gate)
    slow = asyncio.create_task(other.value(KEY))
    await gate.met.wait()
    context = one.context("")
    one.cache.fails = {"offer"}
    one.store.pause = lambda: asyncio.sleep(0)
    await one.records.write(KEY, b"new", "", context)
    reading = asyncio.create_task(other.value(KEY, other.context(context.session.token())))
    await asyncio.sleep(0.001)
    assert not reading.done()
    gate.open()

    assert await reading == b"new"
    assert await slow == b"old"


@in_virtual_time
async def test_without_a_cache_or_a_session_reads_go_on() -> None:
    one = pod()
    await one.records.write(KEY, b"one", "", one.context())
    one.cache.fails = {"get", "offer", "lease"}

    assert await one.value(KEY) == b"one"


@in_virtual_time
async def test_when_the_store_fails_a_stale_copy_is_better_than_none_and_says_so() -> None:
    one = pod()
    await one.records.write(KEY, b"one", "", one.context())
    await asyncio.sleep(one.cache.ttl_s + 5)
    one.store.is_away = True
    found = await one.records.read(KEY, one.context())

    assert found is not None
    assert found.stale_s is not None
    assert abs(found.stale_s - 5) < 0.1
    with pytest.raises(StoreUnavailable):
        await one.records.read(KEY, one.context(consistency=Consistency.QUORUM))


@in_virtual_time
async def test_a_stale_copy_older_than_the_session_is_no_answer() -> None:
    one = pod()
    context = one.context("")
    await one.records.write(KEY, b"new", "", context)
    await cached(one, old())
    await asyncio.sleep(one.cache.ttl_s + 5)
    one.store.is_away = True

    with pytest.raises(StoreUnavailable):
        await one.records.read(KEY, one.context(context.session.token()))
    assert await one.value(KEY) == b"old"


@in_virtual_time
async def test_that_there_is_none_is_not_said_by_a_stale_copy() -> None:
    one = pod()
    assert await one.value(KEY) is None
    await asyncio.sleep(one.cache.ttl_s + 5)
    one.store.is_away = True

    with pytest.raises(StoreUnavailable, match="only a stale copy"):
        await one.records.read(KEY, one.context())


@in_virtual_time
async def test_an_expired_record_is_not_there() -> None:
    one = pod()
    await one.records.write(KEY, b"one", "", one.context(ttl_s=10))
    await asyncio.sleep(9)
    assert await one.value(KEY) == b"one"
    await asyncio.sleep(1.1)
    assert await one.value(KEY) is None
    assert await one.value(KEY, one.context(consistency=Consistency.QUORUM)) is None


@in_virtual_time
async def test_a_namespace_that_is_not_there_is_refused() -> None:
    one = pod()
    with pytest.raises(UnknownNamespace):
        await one.records.read(Key("other", "id"), one.context())


@in_virtual_time
async def test_elsewhere_a_session_waits_for_what_it_saw() -> None:
    here, there = two_regions(Elsewhere.WAIT)
    context = there.context("")
    await there.records.write(KEY, b"new", "", context)
    reading = asyncio.create_task(here.value(KEY, here.context(context.session.token())))
    await asyncio.sleep(2)
    assert not reading.done()
    here.store.envelopes[KEY] = there.store.envelopes[KEY]

    assert await reading == b"new"


@pytest.mark.parametrize("seconds", [0.02, 1.0, 10.0])
def test_it_waits_until_shortly_before_the_deadline(seconds: float) -> None:
    @in_virtual_time
    async def test() -> None:
        here, there = two_regions(Elsewhere.WAIT)
        context = there.context("")
        await there.records.write(KEY, b"new", "", context)
        begin_s = now_s()
        with pytest.raises(SessionNotSatisfied, match="no version of 'id' yet"):
            await here.records.read(KEY, here.context(context.session.token(), seconds=seconds))

        assert 0.7 * seconds <= now_s() - begin_s < seconds

    test()


@in_virtual_time
async def test_elsewhere_a_session_is_refused_if_the_namespace_says_so() -> None:
    here, there = two_regions(Elsewhere.REFUSE)
    here.store.envelopes[KEY] = old()
    context = there.context("")
    await there.records.write(KEY, b"new", "", context)
    begin_s = now_s()
    with pytest.raises(SessionNotSatisfied, match=f"version {START_US} of 'id'"):
        await here.records.read(KEY, here.context(context.session.token()))

    assert now_s() == begin_s


@pytest.mark.parametrize("consistency", [Consistency.SESSION, Consistency.QUORUM])
def test_elsewhere_an_older_answer_is_marked(consistency: Consistency) -> None:
    @in_virtual_time
    async def test() -> None:
        here, there = two_regions(Elsewhere.MARK)
        here.store.envelopes[KEY] = old()
        context = there.context("")
        await there.records.write(KEY, b"new", "", context)
        await there.records.write(CAS, b"new", "", context)
        marked, missing = (here.context(context.session.token(), consistency=consistency) for _ in range(2))
        found = await here.records.read(KEY, marked)

        assert found is not None
        assert (found.envelope.payload, found.satisfied, marked.session.is_satisfied) == (b"old", False, False)
        assert await here.records.read(CAS, missing) is None
        assert not missing.session.is_satisfied
        again = here.context(marked.session.token(), consistency=consistency)
        assert not (await here.records.read(KEY, again) or found._replace(satisfied=True)).satisfied

    test()


@in_virtual_time
async def test_a_copy_that_came_before_its_write_to_the_store_is_not_taken_back() -> None:
    """A store that replicates by itself may be behind its cache, which the relay feeds."""
    here, there = two_regions(Elsewhere.REFUSE)
    here.store.replicates = True
    here = Pod(here.store, here.cache, policies=(Namespace(name="*", session_elsewhere=Elsewhere.REFUSE),))
    await there.records.write(KEY, b"new", "", there.context())
    await cached(here, there.store.envelopes[KEY])
    context = here.context("")
    assert await here.value(KEY, context) == b"new"
    here.cache.kept.clear()

    with pytest.raises(SessionNotSatisfied):
        await here.records.read(KEY, here.context(context.session.token()))


class FlakyCache(MemoryCache):
    """Fails now and then, and forgets all now and then."""

    random = Random(0)

    async def _meet(self, operation: str) -> None:
        await super()._meet(operation)
        chance = self.random.random()
        if chance < 0.01:
            self.kept.clear()
        if chance < 0.2:
            raise CacheUnavailable("away")


class RememberingStore(WholeStore):
    """`buried`: the highest tombstone that each key ever had."""

    def __init__(self, random: Random) -> None:
        super().__init__(pause=lambda: asyncio.sleep(random.random() * 0.01))
        self.buried: dict[Key, int] = {}

    async def put(self, key: Key, envelope: bytes, *, announce: bool = True) -> None:
        if decode(envelope).tombstone:
            self.buried[key] = max(version_of(envelope), self.buried.get(key, 0))
        await super().put(key, envelope, announce=announce)


@pytest.mark.parametrize("seed", range(5))
def test_sessions_never_step_back_in_a_region_whatever_its_cache_does(seed: int) -> None:
    """Three pods, a random one for each request; the cache fails and forgets; more records than a token holds."""

    @in_virtual_time
    async def test() -> None:
        random = Random(seed)
        store, cache = RememberingStore(random), FlakyCache()
        cache.random = random
        three = [Pod(store, cache, slot=slot) for slot in range(3)]
        mending = [asyncio.create_task(each.suspects.mend()) for each in three]
        keys = [Key("plain", str(number)) for number in range(40)]

        async def client() -> None:
            token, told = "", dict.fromkeys(keys, 0)
            for _ in range(200):
                each, key, chance = random.choice(three), random.choice(keys), random.random()
                context = each.context(token)
                if chance < 0.4:
                    writing = each.records.write(key, b"", "", context) if chance < 0.3 else None
                    told[key] = (await (writing or each.records.delete(key, context))).version
                elif found := await each.records.read(key, context):
                    assert found.envelope.version >= told[key]
                    told[key] = found.envelope.version
                else:
                    assert store.buried.get(key, 0) >= told[key]
                token = context.session.token()

        await asyncio.gather(*(client() for _ in range(4)))
        for task in mending:
            task.cancel()

    test()

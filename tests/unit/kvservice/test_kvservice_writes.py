"""Writes in both modes: retries, hedges, races and cuts over one store. In virtual time."""

import asyncio

import pytest
from kvcaching import in_virtual_time
from kvregion import CAS, PLAIN, Gate, Pod, WholeStore, after, now_us, pod, pods

from kvservice.core.envelope import Envelope, encode
from kvservice.core.namespaces import Namespace, WriteMode
from kvservice.core.orders import RETENTION_S
from kvservice.core.ports import Key
from kvservice.errors import (
    ClockSkew,
    DeadlineExceeded,
    IdempotencyMismatch,
    InvalidRequest,
    NotHome,
    NotPatchable,
    OutcomeUnknown,
    PreconditionFailed,
    UnknownNamespace,
    ValueTooLarge,
    WrongWriteMode,
)

BOTH = pytest.mark.parametrize("key", [PLAIN, CAS])
SECOND = 1_000_000


def elsewhere(key: Key, version: int, payload: bytes = b"elsewhere") -> bytes:
    return encode(Envelope(version, "there", "text/plain", payload, seen={"far": 5}))


@BOTH
def test_what_was_written_is_there_with_its_metadata(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        written = await one.records.write(key, b"one", "text/plain", one.context(ttl_s=60))

        assert written == (one.stored(key).version, True, False)
        expires_us = one.stored(key).expires_us
        assert one.stored(key) == Envelope(written.version, "here", "text/plain", b"one", expires_us)
        assert abs(expires_us - now_us() - 60 * SECOND) < SECOND
        assert one.cache.kept[key].envelope == one.store.envelopes[key]
        assert one.cache.announced == [(key, one.store.envelopes[key])]

    test()


@BOTH
def test_a_second_write_replaces_with_a_higher_version(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        first = await one.records.write(key, b"one", "", one.context())
        second = await one.records.write(key, b"two", "", one.context())

        assert not second.created
        assert second.version > first.version
        assert await one.value(key) == b"two"

    test()


@BOTH
def test_a_delete_leaves_a_tombstone_for_ten_days(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        written = await one.records.write(key, b"one", "", one.context())
        deleted = await one.records.delete(key, one.context(ttl_s=1))
        stone = one.stored(key)

        assert deleted == (stone.version, False, False)
        assert stone.tombstone
        assert stone.version > written.version
        assert abs(stone.expires_us - now_us() - RETENTION_S * SECOND) < SECOND
        assert await one.value(key) is None

    test()


@BOTH
def test_deleting_what_is_not_there_writes_nothing(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        never = await one.records.delete(key, one.context())
        await one.records.write(key, b"one", "", one.context())
        deleted = await one.records.delete(key, one.context())
        again = await one.records.delete(key, one.context())

        assert never == (0, False, False)
        assert again == deleted
        assert one.store.writes == 2

    test()


@BOTH
def test_what_the_session_saw_elsewhere_is_deleted_before_it_arrives(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        here, there = pod(), pod(here="there")
        session = there.sessions.open("")
        written = await there.records.write(key, b"one", "", there.context(session))
        deleted = await here.records.delete(key, here.context(session.token()))

        assert deleted.version > written.version
        assert here.stored(key).tombstone

    test()


@BOTH
def test_a_write_after_a_delete_creates_with_a_higher_version(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        await one.records.write(key, b"one", "", one.context())
        deleted = await one.records.delete(key, one.context())
        written = await one.records.write(key, b"two", "", one.context())

        assert written.created
        assert written.version > deleted.version

    test()


@BOTH
def test_an_expired_record_is_not_there_but_its_version_counts(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        first = await one.records.write(key, b"one", "", one.context(ttl_s=1))
        await asyncio.sleep(2)
        nothing = await one.records.delete(key, one.context())
        second = await one.records.write(key, b"two", "", one.context())

        assert nothing == (first.version, False, False)
        assert second.created
        assert second.version > first.version

    test()


@BOTH
def test_the_namespace_says_how_long_records_live_unless_the_writer_does(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        policy = Namespace(name="*", write_mode=WriteMode(key.namespace.replace("plain", "lww")), ttl_s=100)
        one = pod(policies=(policy,))
        lives = {}
        for ttl_s in (None, 0, 5):
            await one.records.write(key, b"", "", one.context(ttl_s=ttl_s))
            expires_us = one.stored(key).expires_us
            lives[ttl_s] = expires_us and round((expires_us - now_us()) / SECOND)

        assert lives == {None: 100, 0: 0, 5: 5}

    test()


@BOTH
def test_a_write_knows_what_it_replaces(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        one.store.envelopes[key] = elsewhere(key, now_us())
        version = one.stored(key).version
        await one.records.write(key, b"one", "", one.context())

        assert one.stored(key).seen == {"far": 5, "there": version}
        await one.records.delete(key, one.context())
        assert one.stored(key).seen == {"far": 5, "there": version}

    test()


@BOTH
def test_a_write_over_a_version_from_the_future_is_refused(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        one.store.envelopes[key] = elsewhere(key, now_us() + 5 * SECOND)
        with pytest.raises(ClockSkew):
            await one.records.write(key, b"one", "", one.context())

        assert one.stored(key).payload == b"elsewhere"

    test()


@BOTH
def test_a_value_that_is_too_large_is_refused(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod(max_value_bytes=3)
        await one.records.write(key, b"123", "", one.context())
        with pytest.raises(ValueTooLarge, match="4 bytes, at most 3"):
            await one.records.write(key, b"1234", "", one.context())
        strict = pod(policies=(Namespace(name="*", value_bytes=2),))
        with pytest.raises(ValueTooLarge, match="3 bytes, at most 2"):
            await strict.records.write(key, b"123", "", strict.context())

    test()


@in_virtual_time
async def test_a_namespace_that_is_not_there_is_refused() -> None:
    one = pod()
    with pytest.raises(UnknownNamespace):
        await one.records.write(Key("other", "id"), b"", "", one.context())


@in_virtual_time
async def test_after_the_deadline_nothing_is_begun() -> None:
    one = pod()
    with pytest.raises(DeadlineExceeded, match="nothing was done"):
        await one.records.write(PLAIN, b"", "", one.context(seconds=-1))

    assert not one.store.envelopes


@pytest.mark.parametrize("conditions", [{"if_match": '"1"'}, {"if_none_match": "*"}])
def test_plain_writes_take_no_conditions(conditions: dict[str, str]) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        with pytest.raises(WrongWriteMode, match="writeMode cas"):
            await one.records.write(PLAIN, b"", "", one.context(**conditions))  # type: ignore[arg-type]
        with pytest.raises(WrongWriteMode):
            await one.records.delete(PLAIN, one.context(**conditions))  # type: ignore[arg-type]
        with pytest.raises(WrongWriteMode):
            await one.records.patch(PLAIN, b"{}", one.context())

    test()


@in_virtual_time
async def test_conditional_writes_belong_to_the_home_region() -> None:
    policy = Namespace(name="cas", write_mode=WriteMode.CAS, home="there")
    here, there = pod(policies=(policy,)), pod(policies=(policy,), here="there")
    await there.records.write(CAS, b"", "", there.context())
    with pytest.raises(NotHome) as refusal:
        await here.records.write(CAS, b"", "", here.context())

    assert refusal.value.home == "there"


@in_virtual_time
async def test_of_writers_with_the_same_condition_one_wins() -> None:
    one, other = pods(2)
    first = await one.records.write(CAS, b"first", "", one.context())
    match = f'"{first.version}"'
    outcomes = await asyncio.gather(
        *(
            each.records.write(CAS, name, "", each.context(if_match=match))
            for each, name in ((one, b"one"), (other, b"other"))
        ),
        return_exceptions=True,
    )
    failed = [outcome for outcome in outcomes if isinstance(outcome, PreconditionFailed)]

    assert len(failed) == 1
    assert failed[0].present == one.stored(CAS).version


@in_virtual_time
async def test_a_failed_condition_on_what_is_not_there_tells_no_version() -> None:
    one = pod()
    await one.records.write(CAS, b"", "", one.context())
    await one.records.delete(CAS, one.context())
    with pytest.raises(PreconditionFailed) as failure:
        await one.records.write(CAS, b"", "", one.context(if_match="*"))

    assert failure.value.present is None
    assert (await one.records.write(CAS, b"", "", one.context(if_none_match="*"))).created


@in_virtual_time
async def test_a_failed_condition_mends_the_cache_that_misled_the_writer() -> None:
    """A pod died between the store's acknowledgement and the cache: who reads the old copy would fail for ever."""
    one = pod()
    await one.records.write(CAS, b"old", "", one.context())
    one.store.envelopes[CAS] = encode(Envelope(one.stored(CAS).version + 256, "here", "", b"new"))
    with pytest.raises(PreconditionFailed):
        await one.records.write(CAS, b"", "", one.context(if_none_match="*"))

    assert await one.value(CAS) == b"new"


@BOTH
def test_deleting_again_mends_the_cache(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        await one.records.write(key, b"old", "", one.context())
        version = one.stored(key).version + 256
        one.store.envelopes[key] = encode(Envelope(version, "here", "", b"", tombstone=True))
        await one.records.delete(key, one.context())

        assert await one.value(key) is None

    test()


@in_virtual_time
async def test_two_plain_writes_at_once_in_one_pod_have_two_versions() -> None:
    one = pod()
    versions = await asyncio.gather(
        *(one.records.write(PLAIN, bytes([number]), "", one.context()) for number in range(20))
    )

    assert len({written.version for written in versions}) == 20
    assert one.stored(PLAIN).version == max(written.version for written in versions)


@BOTH
def test_a_retry_is_one_write_and_one_answer(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one, other = pods(2)
        first = await one.records.write(key, b"one", "text/plain", one.context(token="t", ttl_s=60))
        envelope = one.store.envelopes[key]
        await asyncio.sleep(5)
        again = await other.records.write(key, b"one", "text/plain", other.context(token="t", ttl_s=60))

        assert again == (first.version, True, True)
        assert one.store.envelopes[key] == envelope
        assert one.store.writes == 1

    test()


@BOTH
def test_a_write_of_somebody_else_survives_a_retry(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one, other = pods(2)
        first = await one.records.write(key, b"one", "", one.context(token="t"))
        await other.records.write(key, b"two", "", other.context())
        again = await one.records.write(key, b"one", "", one.context(token="t"))

        assert again == (first.version, True, True)
        assert await other.value(key) == b"two"

    test()


@BOTH
def test_a_retry_gives_no_old_value_to_a_cache_that_has_forgotten(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one, other = pods(2)
        await one.records.write(key, b"one", "", one.context(token="t"))
        await other.records.write(key, b"two", "", other.context())
        one.cache.kept.clear()
        await one.records.write(key, b"one", "", one.context(token="t"))

        assert await other.value(key) == b"two"

    test()


@BOTH
@pytest.mark.parametrize("steps", range(8))
def test_a_pod_that_dies_at_any_moment_leaves_a_write_that_a_retry_ends(key: Key, steps: int) -> None:
    """The store's answers stop after so many steps; somebody writes; the retry in another pod finds what was begun."""

    @in_virtual_time
    async def test() -> None:
        store = WholeStore()
        dying, other = (Pod(store, pod().cache, slot=slot) for slot in (1, 2))
        gate = Gate()
        store.pause = after(steps, gate)
        dead = asyncio.create_task(dying.records.write(key, b"one", "", dying.context(token="t")))
        for _ in range(20):
            await asyncio.sleep(0)
        store.pause = lambda: asyncio.sleep(0)
        begun = store.receipts.copy()
        later = await other.records.write(key, b"two", "", other.context())
        again = await other.records.write(key, b"one", "", other.context(token="t"))

        assert again.replayed == bool(begun)
        assert await other.value(key) == (b"two" if begun and again.version < later.version else b"one")
        assert len(store.receipts) == 1
        dead.cancel()
        await asyncio.gather(dead, return_exceptions=True)
        gate.open()
        await dying.records.close()

    test()


@BOTH
def test_a_hedge_in_another_pod_at_the_same_time_is_one_write(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one, other = pods(2)
        answers = await asyncio.gather(
            *(each.records.write(key, b"one", "", each.context(token="t")) for each in (one, other))
        )

        assert answers[0].version == answers[1].version
        assert [answer.created for answer in answers] == [True, True]
        assert [answer.replayed for answer in answers].count(True) == 1
        assert one.store.writes == 1

    test()


@BOTH
@pytest.mark.parametrize("other", ["payload", "type", "ttl", "item", "method"])
def test_a_token_of_another_request_is_refused(key: Key, other: str) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        await one.records.write(key, b"one", "", one.context(token="t"))
        before = dict(one.store.envelopes)
        context = one.context(token="t", ttl_s=5 if other == "ttl" else None)
        changed = key._replace(item="i") if other == "item" else key
        payload, kind = b"two" if other == "payload" else b"one", "x" if other == "type" else ""
        write = one.records.write(changed, payload, kind, context)
        with pytest.raises(IdempotencyMismatch):
            await (one.records.delete(key, context) if other == "method" else write)
        write.close()

        assert one.store.envelopes == before

    test()


@BOTH
def test_tokens_belong_to_an_id(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        await one.records.write(key, b"one", "", one.context(token="t"))
        written = await one.records.write(key._replace(id="other"), b"two", "", one.context(token="t"))

        assert not written.replayed

    test()


@BOTH
def test_the_answer_of_a_delete_that_found_nothing_is_kept_too(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        await one.records.delete(key, one.context(token="t"))
        await one.records.write(key, b"one", "", one.context())
        again = await one.records.delete(key, one.context(token="t"))

        assert again == (0, False, True)
        assert await one.value(key) == b"one"

    test()


@BOTH
def test_a_retried_delete_is_one_delete(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        await one.records.write(key, b"one", "", one.context())
        first = await one.records.delete(key, one.context(token="t"))
        await one.records.write(key, b"two", "", one.context())
        again = await one.records.delete(key, one.context(token="t"))

        assert again == (first.version, False, True)
        assert await one.value(key) == b"two"

    test()


@in_virtual_time
async def test_a_failed_condition_is_answered_again_though_it_would_hold_now() -> None:
    one = pod()
    first = await one.records.write(CAS, b"one", "", one.context())
    for _ in range(2):
        with pytest.raises(PreconditionFailed) as failure:
            await one.records.write(CAS, b"two", "", one.context(token="t", if_none_match="*"))
        await one.records.delete(CAS, one.context())

        assert failure.value.present == first.version
    assert await one.value(CAS) is None


@in_virtual_time
async def test_an_update_whose_answer_was_lost_is_no_replay() -> None:
    one = pod()
    one.store.lose_answers = True
    written = await one.records.write(CAS, b"one", "", one.context(token="t", if_none_match="*"))

    assert written == (one.stored(CAS).version, True, False)
    assert one.store.writes == 1
    assert one.cache.kept[CAS].envelope == one.store.envelopes[CAS]


@in_virtual_time
async def test_a_condition_that_cannot_be_read_is_refused_and_leaves_no_receipt() -> None:
    one = pod()
    with pytest.raises(InvalidRequest):
        await one.records.write(CAS, b"", "", one.context(token="t", if_match="nonsense"))

    assert not one.store.receipts


@in_virtual_time
async def test_a_patch_merges_and_keeps_type_and_expiry() -> None:
    one = pod()
    kind = "application/vnd.x+json"
    await one.records.write(CAS, b'{"a":1,"b":2}', kind, one.context(ttl_s=60))
    expires_us = one.stored(CAS).expires_us
    written = await one.records.patch(CAS, b'{"b":null,"c":3}', one.context())

    assert not written.created
    assert one.stored(CAS) == Envelope(written.version, "here", kind, b'{"a":1,"c":3}', expires_us)
    await one.records.patch(CAS, b"{}", one.context(ttl_s=0))
    assert one.stored(CAS).expires_us == 0


@in_virtual_time
async def test_a_patch_of_what_is_not_there_makes_it() -> None:
    one = pod()
    await one.records.write(CAS, b"not json", "text/plain", one.context())
    await one.records.delete(CAS, one.context())
    written = await one.records.patch(CAS, b'{"a":1,"b":null}', one.context())

    assert written.created
    assert one.stored(CAS).payload == b'{"a":1}'
    assert one.stored(CAS).content_type == "application/json"


@in_virtual_time
async def test_patches_at_once_are_all_merged_and_retries_are_one() -> None:
    one, other = pods(2)
    await asyncio.gather(
        *(
            each.records.patch(CAS, b'{"%d":%d}' % (number, number), each.context(token=str(number)))
            for number in range(10)
            for each in (one, other)
        )
    )

    assert one.store.writes == 10
    assert await one.value(CAS) == b"{%s}" % b",".join(b'"%d":%d' % (number, number) for number in range(10))


@in_virtual_time
async def test_what_is_no_json_is_not_patched_nor_with_what_is_none_nor_beyond_the_limit() -> None:
    one = pod(max_value_bytes=20)
    await one.records.write(CAS, b"text", "text/plain", one.context())
    with pytest.raises(NotPatchable):
        await one.records.patch(CAS, b"{}", one.context(token="t"))
    with pytest.raises(InvalidRequest):
        await one.records.patch(CAS, b"{", one.context())
    await one.records.write(CAS, b'{"a":"123456"}', "application/json", one.context())
    with pytest.raises(ValueTooLarge):
        await one.records.patch(CAS, b'{"b":"123456"}', one.context())

    assert await one.value(CAS) == b'{"a":"123456"}'
    assert not one.store.receipts


@BOTH
@pytest.mark.parametrize("steps", range(6))
def test_a_request_cut_at_any_moment_leaves_no_old_copy(key: Key, steps: int) -> None:
    @in_virtual_time
    async def test() -> None:
        one, other = pods(2)
        await one.records.write(key, b"old", "", one.context())
        writing = asyncio.create_task(one.records.write(key, b"new", "", one.context()))
        for _ in range(steps):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await one.records.close()

        assert one.cache.kept[key].envelope == one.store.envelopes[key]
        assert await other.value(key) == one.stored(key).payload

    test()


@BOTH
def test_a_cut_write_that_reached_the_store_goes_on(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one, gate = pod(), Gate()
        one.store.pause = after(2 if key is PLAIN else 0, gate)
        writing = asyncio.create_task(one.records.write(key, b"new", "", one.context()))
        await gate.met.wait()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        gate.open()
        await one.records.close()

        assert await one.value(key) == b"new"
        assert one.cache.kept[key].envelope == one.store.envelopes[key]

    test()


@BOTH
def test_a_cache_that_fails_does_not_fail_the_write_and_is_told_later(key: Key) -> None:
    @in_virtual_time
    async def test() -> None:
        one = pod()
        await one.records.write(key, b"old", "", one.context())
        one.cache.fails = {"get", "offer", "lease"}
        await one.records.write(key, b"new", "", one.context())
        one.cache.fails = set()

        assert key in one.suspects
        assert await one.value(key) == b"new"
        mending = asyncio.create_task(one.suspects.mend())
        await asyncio.sleep(1)
        mending.cancel()
        assert one.cache.kept[key].envelope == one.store.envelopes[key]

    test()


@BOTH
def test_after_an_unknown_outcome_the_cache_gets_what_is_there(key: Key) -> None:
    class Forgetful(WholeStore):
        """Does it, and does not know."""

        async def put(self, key: Key, envelope: bytes, *, announce: bool = True) -> None:
            await super().put(key, envelope, announce=announce)
            raise OutcomeUnknown("timed out")

        async def update(self, key: Key, decide: object, token: str | None = None) -> None:
            await super().update(key, decide, token)  # type: ignore[arg-type]
            raise OutcomeUnknown("timed out")

    @in_virtual_time
    async def test() -> None:
        one = Pod(Forgetful(), pod().cache)
        for payload in (b"old", b"new"):
            with pytest.raises(OutcomeUnknown):
                await one.records.write(key, payload, "", one.context())

        assert one.cache.kept[key].envelope == one.store.envelopes[key]
        assert await one.value(key) == b"new"

    test()

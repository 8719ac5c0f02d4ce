"""What every store promises (`kvservice.core.ports.Store`), as tests.

A test class inherits `StoreContract` and its module has the fixtures `store` and `other`: two stores over the same
data, as two pods have them. The data may be shared with other tests: each test has an id of its own. Records of "lww"
are written by `put` only and those of "cas" by `update` only, as namespaces are.
"""

import asyncio
from uuid import uuid4

import pytest

from kvservice.core.clock import STEP, system_us
from kvservice.core.envelope import Envelope, decode, encode
from kvservice.core.ports import Change, Decide, Key, Row, Store

DAY_US = 86_400_000_000
MIB = 2**20
BEGIN = system_us() - 1_000_000_000  # versions are times, and stores may look at them as such
ODD_NAMES = [
    " ", "  two  blanks ", "'\"`; -- /*", "%_*?[", "a/b/c", "..", "\x01\x7f", "tab\tand\nline", "\u00e9", "e\u0301",
    "\u0130\u0131", "\ufeff", "\uffff", "\U0001f600\U0010ffff", "\u202eright to left", "long" * 120,
]  # fmt: skip


def envelope(step: int, payload: bytes = b"", *, expires_us: int = 0, tombstone: bool = False) -> bytes:
    """Of two of them, the one of the later step is the newer."""
    return encode(Envelope(BEGIN + step * STEP, "here", "text/plain", payload, expires_us, tombstone))


def tombstone(step: int) -> bytes:
    return envelope(step, expires_us=system_us() + 10 * DAY_US, tombstone=True)


def becomes(new: bytes | None, receipt: bytes | None = None) -> Decide:
    return lambda _present, _receipt: Change(new, receipt)


def one_more(present: bytes | None, _: bytes | None) -> Change:
    """Counts in the payload."""
    if present is None:
        return Change(envelope(0, b"1"))
    there = decode(present)
    count = int(there.payload) + 1
    return Change(encode(Envelope(there.version + STEP, "here", "text/plain", b"%d" % count)))


async def receipt_of(store: Store, key: Key, token: str) -> bytes | None:
    found: list[bytes | None] = []

    def look(_: bytes | None, receipt: bytes | None) -> Change:
        found.append(receipt)
        return Change()

    await store.update(key, look, token)
    return found[-1]


async def fill(store: Store, id_: str, items: list[str], payload: bytes = b"") -> dict[str, bytes]:
    rows = {item: envelope(number, payload) for number, item in enumerate(items)}
    await asyncio.gather(*(store.put(Key("lww", id_, item), row) for item, row in rows.items()))
    return rows


async def names(
    store: Store, id_: str, prefix: str = "", after: str = "", limit: int = 1000, max_bytes: int = MIB
) -> list[str]:
    page = await store.scan("lww", id_, prefix=prefix, after=after, limit=limit, max_bytes=max_bytes)
    return [row.item for row in page.rows]


class StoreContract:
    @pytest.fixture
    def id_(self) -> str:
        return uuid4().hex

    async def test_what_was_never_written_is_not_there(self, store: Store, id_: str) -> None:
        assert await store.read(Key("lww", id_)) is None
        assert await store.read(Key("lww", id_), quorum=False) is None

    async def test_what_is_put_is_read_by_every_pod(self, store: Store, other: Store, id_: str) -> None:
        await store.put(Key("lww", id_), envelope(1, b"one"))

        assert await other.read(Key("lww", id_)) == envelope(1, b"one")

    async def test_the_same_put_twice_is_one_write(self, store: Store, other: Store, id_: str) -> None:
        await asyncio.gather(*(each.put(Key("lww", id_), envelope(1, b"one")) for each in (store, other, store)))

        assert await store.read(Key("lww", id_)) == envelope(1, b"one")

    async def test_the_newer_wins_whatever_the_order(self, store: Store, other: Store, id_: str) -> None:
        for step in (2, 5, 3, 1, 4):
            await (store, other)[step % 2].put(Key("lww", id_), envelope(step, b"%d" % step))

        assert await store.read(Key("lww", id_)) == envelope(5, b"5")

    async def test_the_newer_wins_when_two_pods_write_at_once(self, store: Store, other: Store, id_: str) -> None:
        writes = [(step, (store, other)[step % 2]) for step in (3, 8, 1, 9, 4, 7, 2, 6, 5)]
        await asyncio.gather(*(pod.put(Key("lww", id_), envelope(step)) for step, pod in writes))

        assert await store.read(Key("lww", id_)) == envelope(9)

    @pytest.mark.parametrize("is_larger_first", [True, False])
    async def test_of_one_version_twice_the_larger_bytes_win(
        self, store: Store, id_: str, *, is_larger_first: bool
    ) -> None:
        writes = [envelope(1, b"larger"), envelope(1, b"a")]
        for write in writes if is_larger_first else reversed(writes):
            await store.put(Key("lww", id_), write)

        assert await store.read(Key("lww", id_)) == envelope(1, b"larger")

    @pytest.mark.parametrize("is_expiring_first", [True, False])
    async def test_of_one_version_twice_the_one_that_expires_wins(
        self, store: Store, id_: str, *, is_expiring_first: bool
    ) -> None:
        expiring = envelope(1, b"a", expires_us=system_us() + DAY_US)
        writes = [expiring, envelope(1, b"larger")]
        for write in writes if is_expiring_first else reversed(writes):
            await store.put(Key("lww", id_), write)

        assert await store.read(Key("lww", id_)) == expiring

    async def test_a_tombstone_is_a_write_like_any_other(self, store: Store, id_: str) -> None:
        key, deleted = Key("lww", id_), tombstone(2)
        await store.put(key, envelope(1, b"one"))
        await store.put(key, deleted)
        assert await store.read(key) == deleted

        await store.put(key, envelope(1, b"one"))
        assert await store.read(key) == deleted

        await store.put(key, envelope(3, b"again"))
        assert await store.read(key) == envelope(3, b"again")

    async def test_an_expiry_is_kept_with_the_record(self, store: Store, id_: str) -> None:
        expiring = envelope(1, b"one", expires_us=system_us() + DAY_US)
        await store.put(Key("lww", id_), expiring)
        assert await store.read(Key("lww", id_)) == expiring

        await store.put(Key("lww", id_), envelope(2, b"for ever"))
        assert await store.read(Key("lww", id_)) == envelope(2, b"for ever")

    async def test_own_value_items_ids_and_namespaces_stand_apart(self, store: Store, id_: str) -> None:
        keys = [
            Key("lww", id_), Key("lww", id_, "a"), Key("lww", id_, "b"), Key("lww", id_ + "a"), Key("lww2", id_),
            Key("lww2", id_, "a"), Key("lww", id_ + "/items", "a"),
        ]  # fmt: skip
        for step, key in enumerate(keys):
            await store.put(key, envelope(step, repr(key).encode()))

        assert [await store.read(key) for key in keys] == [
            envelope(step, repr(key).encode()) for step, key in enumerate(keys)
        ]

    async def test_names_are_kept_apart_to_the_letter(self, store: Store, id_: str) -> None:
        keys = [Key("lww", id_ + name) for name in ODD_NAMES] + [Key("lww", id_, name) for name in ODD_NAMES]
        for step, key in enumerate(keys):
            await store.put(key, envelope(step))

        assert [await store.read(key) for key in keys] == [envelope(step) for step in range(len(keys))]

    @pytest.mark.parametrize("payload", [b"", b"\0", b"a\0b", bytes(range(256)), b"'; DROP", bytes(MIB)], ids=len)
    async def test_values_come_back_to_the_byte(self, store: Store, id_: str, payload: bytes) -> None:
        await store.put(Key("lww", id_), envelope(1, payload))
        await store.update(Key("cas", id_), becomes(envelope(1, payload)))

        assert await store.read(Key("lww", id_)) == envelope(1, payload)
        assert await store.read(Key("cas", id_)) == envelope(1, payload)

    async def test_an_update_decides_on_what_is_there(self, store: Store, other: Store, id_: str) -> None:
        for number in range(6):
            await (store, other)[number % 2].update(Key("cas", id_), one_more)

        assert decode(await store.read(Key("cas", id_)) or b"").payload == b"6"

    async def test_updates_of_two_pods_lose_no_step(self, store: Store, other: Store, id_: str) -> None:
        await asyncio.gather(*((store, other)[number % 2].update(Key("cas", id_), one_more) for number in range(20)))

        assert decode(await store.read(Key("cas", id_)) or b"").payload == b"20"

    async def test_of_two_pods_that_create_a_record_one_wins(self, store: Store, other: Store, id_: str) -> None:
        def create(mine: bytes) -> Decide:
            def decide(present: bytes | None, _: bytes | None) -> Change:
                if present not in (None, mine):
                    raise LookupError("there is one")
                return Change(mine)

            return decide

        mine = [envelope(1, b"a"), envelope(1, b"b")]
        outcomes = await asyncio.gather(
            store.update(Key("cas", id_), create(mine[0])),
            other.update(Key("cas", id_), create(mine[1])),
            return_exceptions=True,
        )

        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LookupError", "NoneType"]
        assert await store.read(Key("cas", id_)) == mine[outcomes.index(None)]

    async def test_a_decision_that_fails_comes_out_and_leaves_nothing(self, store: Store, id_: str) -> None:
        key = Key("cas", id_)
        await store.update(key, becomes(envelope(1, b"one"), b"first"), "token 1")

        def fail(_: bytes | None, __: bytes | None) -> Change:
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            await store.update(key, fail, "token 2")
        assert await store.read(key) == envelope(1, b"one")
        assert await receipt_of(store, key, "token 2") is None

    async def test_none_leaves_the_record_and_the_receipt_as_they_are(self, store: Store, id_: str) -> None:
        key = Key("cas", id_)
        await store.update(key, becomes(None), "token")
        assert await store.read(key) is None

        await store.update(key, becomes(envelope(1), b"receipt"), "token")
        await store.update(key, becomes(None, None), "token")
        assert await store.read(key) == envelope(1)
        assert await receipt_of(store, key, "token") == b"receipt"

    async def test_a_receipt_may_be_written_without_a_record(self, store: Store, id_: str) -> None:
        await store.update(Key("cas", id_), becomes(None, b"refused"), "token")

        assert await store.read(Key("cas", id_)) is None
        assert await receipt_of(store, Key("cas", id_), "token") == b"refused"

    async def test_an_update_without_a_token_is_shown_no_receipt(self, store: Store, id_: str) -> None:
        key = Key("cas", id_)
        await store.update(key, becomes(envelope(1), b"receipt"), "token")
        shown: list[bytes | None] = []

        def look(_: bytes | None, receipt: bytes | None) -> Change:
            shown.append(receipt)
            return Change()

        await store.update(key, look)
        assert set(shown) == {None}

    async def test_an_update_of_a_tombstone_sees_it(self, store: Store, id_: str) -> None:
        deleted = tombstone(1)
        await store.update(Key("cas", id_), becomes(deleted))
        shown: list[bytes | None] = []

        def revive(present: bytes | None, _: bytes | None) -> Change:
            shown.append(present)
            return Change(envelope(2))

        await store.update(Key("cas", id_), revive)
        assert set(shown) == {deleted}
        assert await store.read(Key("cas", id_)) == envelope(2)

    async def test_a_receipt_is_known_to_all_pods_and_items_of_its_id_alone(
        self, store: Store, other: Store, id_: str
    ) -> None:
        await store.update(Key("cas", id_, "a"), becomes(envelope(1), b"receipt"), "token \u00e9")

        assert await receipt_of(other, Key("cas", id_, "a"), "token \u00e9") == b"receipt"
        assert await receipt_of(other, Key("cas", id_, "b"), "token \u00e9") == b"receipt"
        assert await receipt_of(other, Key("cas", id_), "token \u00e9") == b"receipt"
        assert await receipt_of(other, Key("cas", id_), "token e\u0301") is None
        assert await receipt_of(other, Key("cas", id_ + "2"), "token \u00e9") is None
        assert await receipt_of(other, Key("cas2", id_), "token \u00e9") is None

    async def test_of_updates_with_one_token_only_one_takes_effect(self, store: Store, other: Store, id_: str) -> None:
        def once(present: bytes | None, receipt: bytes | None) -> Change:
            if receipt is not None:
                return Change()
            return Change(one_more(present, None).envelope, b"done")

        await asyncio.gather(
            *((store, other)[number % 2].update(Key("cas", id_), once, "token") for number in range(6))
        )

        assert decode(await store.read(Key("cas", id_)) or b"").payload == b"1"

    async def test_the_first_claim_of_a_token_stands(self, store: Store, other: Store, id_: str) -> None:
        key = Key("lww", id_, "a")
        assert await store.claim(key, "token", b"first") == b"first"
        assert await store.claim(key, "token", b"second") == b"first"
        assert await other.claim(Key("lww", id_, "b"), "token", b"third") == b"first"
        assert await other.claim(key, "other token", b"fourth") == b"fourth"
        assert await other.claim(Key("lww", id_ + "2", "a"), "token", b"fifth") == b"fifth"

    async def test_all_pods_agree_on_the_first_of_claims_made_at_once(
        self, store: Store, other: Store, id_: str
    ) -> None:
        key = Key("lww", id_)
        answers = await asyncio.gather(
            *((store, other)[number % 2].claim(key, "token", b"%d" % number) for number in range(10))
        )

        assert len(set(answers)) == 1
        assert await other.claim(key, "token", b"late") == answers[0]

    async def test_a_scan_goes_by_the_bytes_of_the_items(self, store: Store, id_: str) -> None:
        items = ["a", "a\u0301", "a/b", "aa", "B", "z", "\u00e9", "\uffff", "\U0001f600", *ODD_NAMES]
        rows = await fill(store, id_, items)
        page = await store.scan("lww", id_, prefix="", after="", limit=100, max_bytes=MIB)

        assert page.rows == [Row(item, rows[item]) for item in sorted(rows, key=str.encode)]
        assert not page.more

    async def test_a_scan_of_nothing_is_empty(self, store: Store, id_: str) -> None:
        page = await store.scan("lww", id_, prefix="", after="", limit=10, max_bytes=MIB)

        assert page == ([], False)

    async def test_a_scan_shows_neither_the_ids_own_value_nor_other_ids(self, store: Store, id_: str) -> None:
        await fill(store, id_, ["", "a"])
        await fill(store, id_ + "2", ["b"])

        assert await names(store, id_) == ["a"]

    async def test_a_scan_shows_tombstones(self, store: Store, id_: str) -> None:
        deleted = tombstone(9)
        await fill(store, id_, ["a", "b"])
        await store.put(Key("lww", id_, "a"), deleted)
        page = await store.scan("lww", id_, prefix="", after="", limit=10, max_bytes=MIB)

        assert page.rows == [Row("a", deleted), Row("b", envelope(1))]

    async def test_a_scan_shows_what_updates_wrote(self, store: Store, id_: str) -> None:
        await store.update(Key("cas", id_, "a"), becomes(envelope(1, b"one"), b"receipt"), "token")
        page = await store.scan("cas", id_, prefix="", after="", limit=10, max_bytes=MIB)

        assert page == ([Row("a", envelope(1, b"one"))], False)

    async def test_a_prefix_is_taken_to_the_letter(self, store: Store, id_: str) -> None:
        await fill(store, id_, ["a", "ab", "abc", "ac", "A", "a%", "a_c", "b", "\U0010ffff", "\U0010ffffa"])

        assert await names(store, id_, prefix="ab") == ["ab", "abc"]
        assert await names(store, id_, prefix="a%") == ["a%"]
        assert await names(store, id_, prefix="\U0010ffff") == ["\U0010ffff", "\U0010ffffa"]
        assert await names(store, id_, prefix="c") == []

    async def test_a_scan_goes_on_after_any_name(self, store: Store, id_: str) -> None:
        await fill(store, id_, ["a", "b", "ba", "bb", "c"])

        assert await names(store, id_, after="b") == ["ba", "bb", "c"]
        assert await names(store, id_, after="b0") == ["ba", "bb", "c"]
        assert await names(store, id_, after="c") == []
        assert await names(store, id_, prefix="b", after="a") == ["b", "ba", "bb"]
        assert await names(store, id_, prefix="b", after="ba") == ["bb"]
        assert await names(store, id_, prefix="b", after="c") == []

    async def test_a_limit_ends_a_page_and_it_says_whether_more_may_follow(self, store: Store, id_: str) -> None:
        await fill(store, id_, ["a", "b", "c"])
        page = await store.scan("lww", id_, prefix="", after="", limit=2, max_bytes=MIB)

        assert [row.item for row in page.rows] == ["a", "b"]
        assert page.more
        assert not (await store.scan("lww", id_, prefix="", after="b", limit=2, max_bytes=MIB)).more

    async def test_bytes_end_a_page_but_never_before_its_first_row(self, store: Store, id_: str) -> None:
        rows = await fill(store, id_, ["a", "b", "c", "d"], bytes(1000))
        two = len(rows["a"]) + len(rows["b"])

        assert await names(store, id_, max_bytes=1) == ["a"]
        assert await names(store, id_, max_bytes=two - 1) == ["a"]
        assert await names(store, id_, max_bytes=two) == ["a", "b"]
        assert (await store.scan("lww", id_, prefix="", after="", limit=9, max_bytes=two)).more

    async def test_pages_follow_each_other_without_gap_or_overlap(self, store: Store, id_: str) -> None:
        items = [f"p{number:03}" for number in range(120)]
        rows = await fill(store, id_, [*items, "o", "q"], bytes(300))
        seen: list[Row] = []
        more = True
        while more and len(seen) <= len(items):
            after = seen[-1].item if seen else ""
            page = await store.scan("lww", id_, prefix="p", after=after, limit=7, max_bytes=1500)
            assert page.rows or not page.more
            seen += page.rows
            more = page.more

        assert seen == [Row(item, rows[item]) for item in items]

    async def test_a_clock_if_the_store_has_one_tells_the_time(self, store: Store) -> None:
        now_us = await store.now_us()

        assert now_us is None or abs(now_us - system_us()) < 60_000_000

    async def test_a_store_that_answers_can_be_pinged(self, store: Store) -> None:
        await store.ping()

"""Conditional writes whose answers are lost, over a store that loses them on purpose."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from kvservice.core.clock import STEP, system_us
from kvservice.core.envelope import Envelope, decode, encode
from kvservice.core.ports import Change, Key
from kvservice.errors import OutcomeUnknown, StoreUnavailable
from kvservice.store.cassandra import conditional
from kvservice.store.cassandra.conditional import Fate, Present, Sent, Update, ttl_s
from kvservice.store.cassandra.requests import AnswerLost, How, Rows

KEY = Key("cas", "id")


def version(number: int) -> bytes:
    return encode(Envelope(number, "here", "text/plain", b""))


OLD, MINE, NEWER, OLDER = version(2), version(4), version(6), version(3)
RECEIPT = Change(MINE, b"mine")
PLAIN = Change(MINE)


@pytest.mark.parametrize(
    ("change", "present", "fate"),
    [
        (PLAIN, Present(MINE, None), Fate.APPLIED),
        (PLAIN, Present(OLD, None), Fate.OPEN),
        (PLAIN, Present(OLDER, None), Fate.NEVER),  # whoever writes over mine is newer
        (PLAIN, Present(None, None), Fate.NEVER),
        (PLAIN, Present(NEWER, None), Fate.UNKNOWN),
        (RECEIPT, Present(MINE, b"mine"), Fate.APPLIED),
        (RECEIPT, Present(NEWER, b"mine"), Fate.APPLIED),
        (RECEIPT, Present(OLD, None), Fate.OPEN),
        (RECEIPT, Present(NEWER, None), Fate.NEVER),
        (RECEIPT, Present(NEWER, b"other"), Fate.NEVER),
        (Change(None, b"mine"), Present(OLD, b"mine"), Fate.APPLIED),
        (Change(None, b"mine"), Present(OLD, None), Fate.OPEN),
        (Change(None, b"mine"), Present(NEWER, None), Fate.NEVER),
    ],
)
def test_what_is_there_later_tells_what_became_of_a_write(change: Change, present: Present, fate: Fate) -> None:
    assert Sent(Present(OLD, None), change).fate(present) is fate


def test_a_cell_is_kept_a_minute_longer_than_its_envelope_says() -> None:
    assert ttl_s(version(1)) == 0
    an_hour = Envelope(1, "here", "text/plain", b"", expires_us=system_us() + 3_600_000_000)
    assert 3_655 <= ttl_s(encode(an_hour)) <= 3_661
    long_ago = Envelope(1, "here", "text/plain", b"", expires_us=1)
    assert ttl_s(encode(long_ago)) == 61


class Faulty:
    """One partition. Of its answers some are lost: with what was asked done, not done, or done when others had time to
    come before."""

    def __init__(self, chances: random.Random) -> None:
        self.cells: dict[object, bytes] = {}
        self._chances = chances
        self._late: list[asyncio.Task[bool]] = []

    async def repeat(self, name: str, values: Sequence[object], how: How) -> Rows:
        assert (name, how) == ("present", How.SERIAL)
        await self._pass(5)
        if self._chances.random() < 0.02:
            raise StoreUnavailable("no")
        item, receipt_item = values[2:]
        rows = [(item, self.cells.get(item), None), (receipt_item, None, self.cells.get(receipt_item))]
        return [row for row in rows if row[1:] != (None, None)]

    async def once(self, name: str, values: Sequence[object], how: How) -> Rows:
        assert how is How.CONDITIONAL
        await self._pass(5)
        match self._chances.randrange(10):
            case 0:
                raise AnswerLost("not done")
            case 1:
                self._swap(name, values)
                raise AnswerLost("done")
            case 2:
                self._late.append(asyncio.create_task(self._swap_later(name, values)))
                raise AnswerLost("done later, if it still can be")
        return [(self._swap(name, values),)]

    async def end(self) -> None:
        await asyncio.gather(*self._late)

    async def _swap_later(self, name: str, values: Sequence[object]) -> bool:
        await self._pass(12)
        return self._swap(name, values)

    async def _pass(self, turns: int) -> None:
        for _ in range(self._chances.randrange(turns)):
            await asyncio.sleep(0)

    def _swap(self, name: str, values: Any) -> bool:
        writes = []
        if name != "swap_receipt":
            _ttl, envelope, _, _, item, over = values[:6]
            writes.append((item, envelope, over))
        if name != "swap":
            receipt, _, _, item, over = values[-5:]
            writes.append((item, receipt, over))
        if any(self.cells.get(item) != over for item, _, over in writes):
            return False
        self.cells |= {item: new for item, new, _ in writes}
        return True


class Worker:
    """Counts the record up by one at a time, with a token a time or without; tells how often it did."""

    def __init__(self, requests: Faulty, slot: int, *, with_tokens: bool) -> None:
        self._requests = requests
        self._slot = slot
        self._with_tokens = with_tokens
        self._issued = 0
        self.done = self.unknown = 0

    async def run(self) -> None:
        for turn in range(10):
            token = f"{self._slot}/{turn}" if self._with_tokens else None
            try:
                await Update(self._requests, KEY, self._one_more, token).run()  # type: ignore[arg-type]
                self.done += 1
            except OutcomeUnknown:
                self.unknown += 1
            except StoreUnavailable:
                pass

    def _one_more(self, present: bytes | None, receipt: bytes | None) -> Change:
        assert receipt is None, "its token was used before"
        there = decode(present) if present else Envelope(0, "here", "text/plain", b"0")
        count = b"%d" % (int(there.payload) + 1)
        self._issued = max(there.version // STEP, self._issued) + 1  # as a clock does: never the same one twice
        version = self._issued * STEP + self._slot
        envelope = encode(Envelope(version, "here", "text/plain", count))
        return Change(envelope, b"%d" % version if self._with_tokens else None)


@pytest.mark.parametrize("with_tokens", [True, False])
@pytest.mark.parametrize("seed", range(20))
async def test_what_is_told_as_done_is_done_once_and_what_is_told_as_not_done_never_is(
    monkeypatch: pytest.MonkeyPatch, seed: int, *, with_tokens: bool
) -> None:
    monkeypatch.setattr(conditional, "PAUSE_S", (0, 0))
    requests = Faulty(random.Random(seed))
    workers = [Worker(requests, slot, with_tokens=with_tokens) for slot in range(1, 4)]
    await asyncio.gather(*(worker.run() for worker in workers))
    await requests.end()

    done, unknown = sum(worker.done for worker in workers), sum(worker.unknown for worker in workers)
    count = int(decode(requests.cells[""]).payload)
    assert done <= count <= done + unknown
    assert done >= 10

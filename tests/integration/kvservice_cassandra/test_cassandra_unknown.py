"""A conditional write whose answer does not come: what became of it is found out, or said not to be known."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from uuid import uuid4

import pytest
from cassandras import Node
from cassandras import Nodes as RealNodes

from kvservice.cassandra import Nodes
from kvservice.core.clock import system_us
from kvservice.core.envelope import Envelope, encode
from kvservice.core.ports import Change, Key
from kvservice.errors import OutcomeUnknown
from kvservice.store.cassandra import CassandraStore, conditional, requests

pytestmark = pytest.mark.real

OpenStore = Callable[..., Awaitable[CassandraStore]]


@pytest.fixture
def node(one_node: RealNodes) -> Iterator[Node]:
    yield one_node.nodes[0]
    one_node.nodes[0].resume()


@pytest.fixture
async def impatient(
    store: CassandraStore, nodes: Nodes, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> CassandraStore:
    """A store that gives a request one second. (`store` has made the tables.)"""
    monkeypatch.setattr(requests, "ATTEMPT_S", 1.0)
    return await open_store(nodes)


class Writes:
    """Decides to write one value, and has something done between the look and the write."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.value = encode(Envelope(system_us(), "here", "text/plain", b"mine"))
        self.times = 0
        self._meanwhile = meanwhile

    def __call__(self, present: bytes | None, receipt: bytes | None) -> Change:
        self.times += 1
        self._meanwhile()
        return Change(self.value, b"receipt")


@pytest.mark.parametrize("after_s", [1.2, 2.2])  # while the first look after it waits, or the second
async def test_a_write_that_happens_after_its_time_is_found_and_done_once(
    store: CassandraStore, impatient: CassandraStore, node: Node, after_s: float
) -> None:
    key, loop = Key("cas", uuid4().hex), asyncio.get_running_loop()

    def wake_later() -> None:
        node.pause()
        loop.call_later(after_s, node.resume)

    write = Writes(wake_later)
    await impatient.update(key, write, "token")

    assert write.times == 1
    assert await store.read(key) == write.value
    assert await store.claim(key, "token", b"other") == b"receipt"


async def test_a_write_that_cannot_be_settled_in_time_is_told_as_unknown(
    store: CassandraStore, impatient: CassandraStore, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditional, "TIME_S", 1.0)
    key = Key("cas", uuid4().hex)
    write = Writes(node.pause)
    with pytest.raises(OutcomeUnknown, match=r"the write may have happened .*; read the record to see"):
        await impatient.update(key, write, "token")

    node.resume()
    assert await store.read(key) in (None, write.value)


async def test_a_plain_write_without_an_answer_may_be_repeated(
    store: CassandraStore, impatient: CassandraStore, node: Node
) -> None:
    key, value = Key("lww", uuid4().hex), encode(Envelope(system_us(), "here", "text/plain", b"mine"))
    node.pause()
    with pytest.raises(OutcomeUnknown, match="the write may have happened, to repeat it is safe"):
        await impatient.put(key, value)

    node.resume()
    await store.put(key, value)
    assert await store.read(key) == value


async def test_a_claim_whose_answer_was_lost_is_known_the_next_time(
    store: CassandraStore, impatient: CassandraStore, node: Node
) -> None:
    key, loop = Key("lww", uuid4().hex), asyncio.get_running_loop()
    node.pause()
    loop.call_later(1.2, node.resume)

    assert await impatient.claim(key, "token", b"first") == b"first"
    assert await store.claim(key, "token", b"second") == b"first"

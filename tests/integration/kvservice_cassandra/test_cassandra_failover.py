"""Three nodes, three copies, and load: one node dies or hangs, and nobody who uses the store is told."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from cassandras import Node, cassandras
from cassandras import Nodes as RealNodes

from kvservice.cassandra import Nodes
from kvservice.core.clock import STEP, system_us
from kvservice.core.envelope import Envelope, decode, encode, version_of
from kvservice.core.ports import Change, Key
from kvservice.errors import KvError
from kvservice.migrate import migrate
from kvservice.store.cassandra import CassandraStore

pytestmark = [pytest.mark.real, pytest.mark.counted]

OpenStore = Callable[..., Awaitable[CassandraStore]]
WORKERS = 12


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNodes]:
    with cassandras(tmp_path_factory.mktemp("three"), "eu", "eu", "eu") as nodes:
        yield nodes


class Load:
    """Each worker writes, reads back and counts up keys of its own, so it knows what it must find."""

    def __init__(self, store: CassandraStore, name: str, operations: int) -> None:
        self._name = name
        self._store = store
        self._left = operations
        self.acknowledged: dict[Key, int] = {}
        self.counted: dict[Key, int] = {}
        self.errors: list[KvError] = []
        self.wrong: list[str] = []
        self.done = 0
        self.slowest_s = 0.0

    async def run(self, after: int, fault: Callable[[], None]) -> None:
        """The fault comes when that many operations are done."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(WORKERS):
                tasks.create_task(self._work(number))
            while self.done < after:  # noqa: ASYNC110 the workers end, or fail
                await asyncio.sleep(0.01)
            await asyncio.to_thread(fault)

    async def _work(self, worker: int) -> None:
        loop = asyncio.get_running_loop()
        turn = 0
        while self._left > 0:
            self._left -= 1
            turn += 1
            begun_s = loop.time()
            try:
                await (self._count(worker) if turn % 10 == 0 else self._put_or_read(worker, turn))
            except KvError as error:
                self.errors.append(error)
            self.slowest_s = max(self.slowest_s, loop.time() - begun_s)
            self.done += 1

    async def _put_or_read(self, worker: int, turn: int) -> None:
        key = Key("lww", f"{self._name}-{worker}-{turn // 2 % 50}")
        if turn % 2:
            version = max(system_us(), self.acknowledged.get(key, 0) + STEP)
            await self._store.put(key, encode(Envelope(version, "here", "text/plain", b"x" * 500)))
            self.acknowledged[key] = version
        else:
            self.check(key, await self._store.read(key))

    async def _count(self, worker: int) -> None:
        key = Key("cas", f"{self._name}-{worker}")

        def one_more(present: bytes | None, _: bytes | None) -> Change:
            count = int(decode(present).payload) if present else 0
            version = (version_of(present) if present else system_us()) + STEP
            return Change(encode(Envelope(version, "here", "text/plain", b"%d" % (count + 1))))

        await self._store.update(key, one_more)
        self.counted[key] = self.counted.get(key, 0) + 1

    def check(self, key: Key, found: bytes | None) -> None:
        if (version_of(found) if found else 0) < self.acknowledged.get(key, 0):
            self.wrong.append(f"{key.id} lost {self.acknowledged[key]}")

    async def check_all(self) -> None:
        for key in self.acknowledged:
            self.check(key, await self._store.read(key))
        for key, count in self.counted.items():
            found = decode(await self._store.read(key) or b"").payload
            if int(found) != count:
                self.wrong.append(f"{key.id} was counted up {count} times and is {found!r}")


def kill(node: Node) -> None:
    node.kill()


def hang(node: Node) -> None:
    node.pause()


@pytest.mark.parametrize(("fault", "short"), [(hang, 800), (kill, 2_000)])
async def test_a_node_that_goes_takes_no_acknowledged_write_along_and_no_request(
    three_nodes: RealNodes, open_store: OpenStore, counted: Any, fault: Callable[[Node], None], short: int
) -> None:
    nodes = Nodes(three_nodes.points(), "eu")
    victim = three_nodes.nodes[1]
    await migrate(nodes, "kv", {"eu": 3}, print)
    load = Load(await open_store(nodes), fault.__name__, counted(short=short, full=50_000))
    await load.run(after=300, fault=lambda: fault(victim))
    await load.check_all()
    victim.resume()
    counted.tell(
        f"{fault.__name__}: {load.done} operations, {len(load.acknowledged) + len(load.counted)} records checked, "
        f"{len(load.errors)} errors, {len(load.wrong)} lost; the slowest took {load.slowest_s:.1f} s"
    )

    assert load.wrong == []
    assert [str(error) for error in load.errors] == []

"""A one-node Cassandra for all tests of the folder, and stores on it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from cassandras import Nodes as RealNodes
from cassandras import cassandras

from kvservice.cassandra import Nodes
from kvservice.migrate import migrate
from kvservice.store.cassandra import CassandraStore
from kvservice.telemetry import Telemetry

DATACENTER = "eu-west"

OpenStore = Callable[..., Awaitable[CassandraStore]]
"""(nodes, keyspace="kv") -> a store, closed with the test."""


@pytest.fixture(scope="session")
def one_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNodes]:
    with cassandras(tmp_path_factory.mktemp("one"), DATACENTER) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def nodes(one_node: RealNodes) -> Nodes:
    return Nodes(one_node.points(), DATACENTER)


@pytest_asyncio.fixture
async def open_store() -> AsyncIterator[OpenStore]:
    async with AsyncExitStack() as stack:

        async def opened(nodes: Nodes, keyspace: str = "kv") -> CassandraStore:
            telemetry = Telemetry(edges_s=(), build="b", version="v", region="r", revision="r")
            store = await CassandraStore.connect(nodes, keyspace, telemetry, patience_s=5)
            stack.push_async_callback(store.close)
            return store

        yield opened


@pytest_asyncio.fixture
async def store(nodes: Nodes, open_store: OpenStore) -> CassandraStore:
    """Over the tables of the present build."""
    await migrate(nodes, "kv", {nodes.datacenter: 1}, print)
    return await open_store(nodes)

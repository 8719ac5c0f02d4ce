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
KEYSPACE = "kv"

OpenStore = Callable[..., Awaitable[CassandraStore]]


@pytest.fixture(scope="session")
def one_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNodes]:
    with cassandras(tmp_path_factory.mktemp("one"), DATACENTER) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def nodes(one_node: RealNodes) -> Nodes:
    return Nodes(one_node.points(), DATACENTER)


@pytest_asyncio.fixture
async def open_store(nodes: Nodes) -> AsyncIterator[OpenStore]:
    """-> a store over migrated tables, closed with the test."""
    await migrate(nodes, KEYSPACE, {DATACENTER: 1}, print)
    async with AsyncExitStack() as stack:

        async def opened(of: Nodes = nodes) -> CassandraStore:
            telemetry = Telemetry(edges_s=(), build="b", version="v", region="r", revision="r")
            store = await CassandraStore.connect(of, KEYSPACE, telemetry, patience_s=10)
            stack.push_async_callback(store.close)
            return store

        yield opened

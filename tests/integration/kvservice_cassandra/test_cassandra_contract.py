"""The Cassandra store keeps what every store promises."""

from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio
from store_contract import StoreContract

from kvservice.cassandra import Nodes
from kvservice.store.cassandra import CassandraStore

pytestmark = pytest.mark.real


@pytest_asyncio.fixture
async def other(
    nodes: Nodes, store: CassandraStore, open_store: Callable[..., Awaitable[CassandraStore]]
) -> CassandraStore:
    return await open_store(nodes)


class TestCassandraStore(StoreContract):
    pass

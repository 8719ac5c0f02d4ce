"""The Cassandra store keeps what every store promises."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from store_contract import StoreContract

from kvservice.cassandra import Nodes
from kvservice.migrate import migrate
from kvservice.store.cassandra import CassandraStore
from kvservice.telemetry import Telemetry

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(nodes: Nodes) -> AsyncIterator[CassandraStore]:
    await migrate(nodes, "kv", {nodes.datacenter: 1}, print)
    opened = await CassandraStore.connect(nodes, "kv", _telemetry())
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(nodes: Nodes, store: CassandraStore) -> AsyncIterator[CassandraStore]:
    opened = await CassandraStore.connect(nodes, "kv", _telemetry())
    yield opened
    await opened.close()


class TestCassandraStore(StoreContract):
    pass


def _telemetry() -> Telemetry:
    return Telemetry(edges_s=(), build="b", version="v", region="r", revision="r")

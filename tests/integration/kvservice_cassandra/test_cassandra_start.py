"""A pod that finds no Cassandra, or not the one it was told of, says which setting is wrong."""

from collections.abc import Awaitable, Callable

import pytest

from kvservice.cassandra import Nodes
from kvservice.errors import StartError
from kvservice.store.cassandra import CassandraStore

pytestmark = pytest.mark.real

OpenStore = Callable[..., Awaitable[CassandraStore]]


async def test_tables_that_are_missing_are_made_by_kvservice_migrate(nodes: Nodes, open_store: OpenStore) -> None:
    with pytest.raises(StartError, match=r"no tables of this build in keyspace 'nowhere' .* run `kvservice migrate`"):
        await open_store(nodes, "nowhere")


async def test_an_unknown_datacenter_is_told_with_those_there_are(nodes: Nodes, open_store: OpenStore) -> None:
    with pytest.raises(StartError, match=r"no datacenter 'mars', only eu-west; set KV_CASSANDRA_DATACENTER"):
        await open_store(nodes._replace(datacenter="mars"))


async def test_where_no_node_listens_the_start_waits_and_then_says_where(nodes: Nodes, open_store: OpenStore) -> None:
    with pytest.raises(StartError, match=r"no Cassandra node answers at KV_CASSANDRA_POINTS=127\.203\.254\.1:9: "):
        await open_store(nodes._replace(points=("127.203.254.1:9",)))


async def test_a_name_without_an_address_is_told(nodes: Nodes, open_store: OpenStore) -> None:
    with pytest.raises(StartError, match=r"no Cassandra node answers at KV_CASSANDRA_POINTS=nowhere\.invalid"):
        await open_store(nodes._replace(points=("nowhere.invalid",)))

"""In which order nodes are asked."""

from itertools import zip_longest
from types import SimpleNamespace

import pytest
from cassandra.connection import DefaultEndPoint
from cassandra.policies import SimpleConvictionPolicy
from cassandra.pool import Host
from cassandra.query import SimpleStatement

from kvservice.store.cassandra.requests import ReplicasFirst

STATEMENT = SimpleStatement("SELECT", routing_key=b"key", keyspace="kv")


def host(address: str, datacenter: str = "here") -> Host:
    made = Host(DefaultEndPoint(address), SimpleConvictionPolicy)
    made.set_location_info(datacenter, "rack")
    return made


HOSTS = [host(f"127.0.0.{number}") for number in range(1, 6)]
REPLICAS = HOSTS[1:4]


@pytest.fixture
def balancing() -> ReplicasFirst:
    metadata = SimpleNamespace(get_replicas=lambda keyspace, key: REPLICAS if (keyspace, key) == ("kv", b"key") else [])
    made = ReplicasFirst(local_dc="here")
    made.populate(SimpleNamespace(metadata=metadata, endpoints_resolved=[]), [*HOSTS, host("127.0.0.9", "there")])
    return made


def test_the_nodes_with_the_data_come_first_and_then_the_others_of_the_datacenter(balancing: ReplicasFirst) -> None:
    plan = list(balancing.make_query_plan(None, STATEMENT))
    assert set(plan[:3]) == set(REPLICAS)
    assert set(plan) == set(HOSTS)


def test_each_request_has_an_order_of_its_own(balancing: ReplicasFirst) -> None:
    firsts = {next(iter(balancing.make_query_plan(None, STATEMENT))) for _ in range(100)}
    assert firsts == set(REPLICAS)


def test_requests_at_the_same_time_miss_no_node(balancing: ReplicasFirst) -> None:
    for _ in range(20):
        plans = [balancing.make_query_plan(None, STATEMENT) for _ in range(3)]
        asked = list(zip_longest(*plans))  # one node each, in turn
        assert all(set(plan) == set(HOSTS) for plan in zip(*asked, strict=True))


def test_a_node_that_did_not_answer_is_asked_last(balancing: ReplicasFirst) -> None:
    balancing.ask_last(REPLICAS[0])
    for _ in range(20):
        plan = list(balancing.make_query_plan(None, STATEMENT))
        assert set(plan[:2]) == set(REPLICAS[1:])
        assert plan[-1] is REPLICAS[0]


def test_what_belongs_to_no_partition_goes_anywhere(balancing: ReplicasFirst) -> None:
    assert set(balancing.make_query_plan("kv", None)) == set(HOSTS)

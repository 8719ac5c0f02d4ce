"""A KVCluster on Cassandra: nodes of the operator's making, or somebody else's. All regions have the same records."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cassandras import Nodes, cassandras

from kvdev import images
from kvdev.errors import MissingPartError
from kvdev.parts import cassandra
from world import Cluster

SMALL = {"cassandra": {"nodesPerRegion": 1, "replicationFactor": 1, "size": "1Gi", "memory": "768Mi"}}
WITHIN_S = 300  # a bound for a machine under load
ORDER = "/v1/kv/orders/1"


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    try:
        cassandra.jars(print)
    except MissingPartError as error:
        pytest.skip(str(error))
    images.build_cassandra()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Nodes]:
    """A Cassandra of two datacenters that no operator knows."""
    with cassandras(tmp_path, "dc-eu", "dc-us") as nodes:
        yield nodes


def test_a_write_in_one_region_is_read_in_the_other_and_outlives_all_pods_but_cassandras(cluster: Cluster) -> None:
    cluster.apply(storage=SMALL)
    cluster.wait_phase("Done", within_s=WITHIN_S)

    assert cluster.put("eu-west", ORDER, b"two apples") == 201
    cluster.wait("read in us-east", lambda: cluster.get("us-east", ORDER) == b"two apples")
    selector = "app.kubernetes.io/component in (service,cache,relay)"
    cluster.world.kubectl("delete", "pods", "-n", cluster.namespace, "-l", selector)

    for region in ("eu-west", "us-east"):
        cluster.wait(f"still there in {region}", lambda: cluster.get(region, ORDER) == b"two apples")  # noqa: B023


def test_volumes_of_nodes_stay_when_the_cluster_is_deleted(cluster: Cluster) -> None:
    cluster.apply(storage=SMALL)
    cluster.wait("the volumes", lambda: len(claims(cluster)) == 2)
    cluster.world.kubectl("delete", "kvcluster", "kv", "-n", cluster.namespace)

    cluster.wait_gone(lambda: [one["metadata"]["name"] for one in listed(cluster, "pods")])
    assert claims(cluster) == ["data-kv-eu-west-cassandra-0", "data-kv-us-east-cassandra-0"]


def test_a_cassandra_that_others_run_keeps_the_records(cluster: Cluster, elsewhere: Nodes) -> None:
    datacenters = {"eu-west": "dc-eu", "us-east": "dc-us"}
    points = {region: list(elsewhere.points(datacenter)) for region, datacenter in datacenters.items()}
    external = {"contactPoints": points, "datacenters": datacenters, "keyspace": "shop", "replicationFactor": 1}
    cluster.apply(storage={"external": external})
    cluster.wait_phase("Done", within_s=WITHIN_S)

    assert cluster.put("us-east", ORDER, b"three pears") == 201

    cluster.wait("read in eu-west", lambda: cluster.get("eu-west", ORDER) == b"three pears")
    assert not [one for one in listed(cluster, "statefulsets") if "cassandra" in one["metadata"]["name"]]


def listed(cluster: Cluster, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.world.get(kind, cluster.namespace)["items"]
    return found


def claims(cluster: Cluster) -> list[str]:
    return sorted(one["metadata"]["name"] for one in listed(cluster, "persistentvolumeclaims"))

"""One embedded cluster for all behaviours; a namespace and a KVCluster for each."""

import asyncio
import itertools
import re
from collections.abc import Iterator

import pytest

from kvctl.demo import images
from kvdev import cluster as embedded
from world import REGIONS, Cluster, World

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    images.build_all()
    yield World(asyncio.run(embedded.up("e2e", REGIONS)))
    asyncio.run(embedded.down("e2e"))


@pytest.fixture
def cluster(world: World, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A namespace with nothing in it yet; whatever the test leaves is removed."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))
    namespace = f"{words[:40]}-{next(_NUMBERS)}"
    world.kubectl("create", "namespace", namespace)
    under_test = Cluster(world, namespace)
    yield under_test
    for load in under_test.loads:
        load._process.kill()
        load._process.communicate()
    world.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def ready(cluster: Cluster) -> Cluster:
    """A KVCluster that serves kvservice 1.0.0."""
    cluster.apply()
    cluster.wait_phase("Done")
    return cluster

"""One embedded cluster for each process that runs tests; a namespace and a KVCluster for each behaviour."""

import asyncio
import itertools
import re
from collections.abc import Iterator

import pytest

from kvctl.demo import images
from kvdev import cluster as embedded
from kvdev.plane.claim import turn
from world import REGIONS, Cluster, World

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def world(worker_id: str) -> Iterator[World]:
    name = f"e2e-{worker_id}"
    asyncio.run(build_images())
    yield World(asyncio.run(embedded.up(name, REGIONS)))
    asyncio.run(embedded.down(name))


async def build_images() -> None:
    """One process after the other: they put them into one store."""
    async with turn("e2e-images"):
        images.build_all()


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

"""One Cassandra for all drills of the folder: a node in each of two datacenters, east and west, and between the two
nodes links that can be cut."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from cassandras import Nodes as RealNodes
from cassandras import cassandras, free_address
from drills import histories, http, new_client, settings_of_drills, start_altered_pod, start_relay
from history.links import Link, linked
from kvparts import Valkey, valkeys, wait_until

from kvservice.cassandra import Nodes
from kvservice.migrate import migrate

__all__ = ["histories", "http", "new_client", "settings_of_drills", "start_altered_pod", "start_relay"]
REGIONS = ("east", "west")

SettingsOf = Callable[[str, dict[str, int]], dict[str, str]]


class Cluster(NamedTuple):
    folder: Path
    nodes: RealNodes
    loop: asyncio.AbstractEventLoop
    """Of the links, in a thread of its own."""
    links: Sequence[Link]

    def cut(self) -> None:
        self._all(Link.cut)

    def heal(self) -> None:
        self._all(Link.heal)

    def wait_for_hints(self) -> None:
        """Until each node has given up to deliver something to the other, and keeps it for later."""
        for node in self.nodes.nodes:
            hints = self.folder / f"cassandra-{node.address}" / "data" / "hints"
            wait_until(lambda: any(hints.glob("*.hints")), f"a hint of {node.address}", node.process)  # noqa: B023

    def _all(self, act: Callable[[Link], None]) -> None:
        """Done when this returns."""

        async def done() -> None:
            for link in self.links:
                act(link)

        asyncio.run_coroutine_threadsafe(done(), self.loop).result()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    own = [free_address() for _ in REGIONS]
    outside = [free_address() for _ in REGIONS]
    with ExitStack() as stack:
        loop, links = stack.enter_context(links_to(own, outside, port=7000))
        reached = dict(zip(own, outside, strict=True))
        folder = tmp_path_factory.mktemp("two")
        nodes = stack.enter_context(cassandras(folder, *REGIONS, reached=reached))
        yield Cluster(folder, nodes, loop, links)


@contextmanager
def links_to(
    targets: Sequence[str], addresses: Sequence[str], *, port: int
) -> Iterator[tuple[asyncio.AbstractEventLoop, list[Link]]]:
    """Links that work also while no test's event loop runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="links")
    thread.start()
    stack = AsyncExitStack()

    async def lay() -> list[Link]:
        pairs = zip(targets, addresses, strict=True)
        return [await stack.enter_async_context(linked(address, port, target)) for target, address in pairs]

    try:
        yield loop, asyncio.run_coroutine_threadsafe(lay(), loop).result()
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def settings_of(cluster: Cluster) -> SettingsOf:
    """-> (region, replication) -> the settings of that region's processes over a keyspace with those copies."""

    def settings(region: str, replication: dict[str, int]) -> dict[str, str]:
        keyspace = "kv_" + "_".join(replication)
        nodes = Nodes(cluster.nodes.points(region), region)
        asyncio.run(migrate(nodes, keyspace, replication, print))
        return {
            "KV_REGION": region,
            "KV_CASSANDRA_POINTS": ",".join(nodes.points),
            "KV_CASSANDRA_KEYSPACE": keyspace,
        }

    return settings


@pytest.fixture
def east_alone(settings_of: SettingsOf, valkey: Valkey) -> dict[str, str]:
    """Settings of pods of one region, with a cache."""
    return settings_of("east", {"east": 1}) | {"KV_CACHE_URLS": valkey.url}


@pytest.fixture
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Valkey]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(valkeys(tmp_path_factory.mktemp(name))) for name in REGIONS}


@pytest.fixture
def of_both(settings_of: SettingsOf, caches: dict[str, Valkey]) -> dict[str, dict[str, str]]:
    """Region -> settings of its processes, over a keyspace that Cassandra replicates."""
    copies = dict.fromkeys(REGIONS, 1)
    return {name: settings_of(name, copies) | {"KV_CACHE_URLS": caches[name].url} for name in REGIONS}

"""Real Cassandra nodes, each on a loopback address of its own, started as the pods of a cluster would be."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from cassandra import ProtocolVersion
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import WhiteListRoundRobinPolicy

from kvdev.errors import MissingPartError
from kvdev.parts import cassandra

START_S = 120
# Each acknowledged write is in the commit log: without `batch` a SIGKILL takes the last ones along.
DURABLE = (
    "-Dcassandra.config.allow_system_properties=true"
    " -Dcassandra.settings.commitlog_sync=batch -Dcassandra.settings.commitlog_sync_period=0ms"
    " -Dcassandra.settings.storage_compatibility_mode=NONE"
)

_hosts = itertools.count(1)


class Node:
    """A running node; `process` may be stopped or killed to play a fault."""

    def __init__(self, address: str, datacenter: str, home: Path, environment: Mapping[str, str]) -> None:
        self.address = address
        self.datacenter = datacenter
        self._home = home
        self._environment = {**os.environ, **environment}
        home.mkdir()
        self.start()

    def start(self) -> None:
        """Also again, on its data; `Nodes.wait` says when it is there."""
        command = [sys.executable, "-P", "-m", "kvdev.cassandra", "cassandra", "-f"]
        with (self._home / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self._home, env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL, also of a paused one."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)

    def pause(self) -> None:
        """SIGSTOP; the last of its threads has stopped when this returns."""
        self.process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.process.pid}/task")
        while not all(_state(thread) == "T" for thread in threads.iterdir()):
            time.sleep(0.001)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        return (self._home / "log").read_text()


class Nodes:
    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes

    def points(self, datacenter: str = "") -> tuple[str, ...]:
        """Addresses, of one datacenter or all."""
        return tuple(node.address for node in self.nodes if datacenter in ("", node.datacenter))

    def wait(self) -> None:
        """Until every node whose process runs answers CQL and knows the others that do."""
        alive = [node for node in self.nodes if node.process.poll() is None]
        give_up_s = time.monotonic() + START_S
        for node in alive:
            while not _answers(node.address, len(alive)):
                assert node.process.poll() is None, f"{node.address} ended: {node.log()[-2000:]}"
                assert time.monotonic() < give_up_s, f"{node.address} is not ready: {node.log()[-2000:]}"
                time.sleep(0.2)


@contextmanager
def cassandras(
    folder: Path, *datacenters: str, heap: str = "384M", reached: Mapping[str, str] | None = None
) -> Iterator[Nodes]:
    """A fresh cluster with one node for each name given: cassandras(folder, "eu", "eu", "us"). Ready when entered.

    `reached`: each node's address -> where the other nodes reach it, such as a link to its port 7000.
    Skips the test if there is no Java or no Maven on this machine.
    """
    try:
        cassandra.jars(print)
    except MissingPartError as error:
        pytest.skip(str(error))
    reached = reached or {address: address for address in (free_address() for _ in datacenters)}
    with ExitStack() as stack:
        nodes = []
        for (address, outside), datacenter in zip(reached.items(), datacenters, strict=True):
            environment = {
                "CASSANDRA_CLUSTER_NAME": folder.name,
                "CASSANDRA_SEEDS": ",".join(reached.values()),  # all of them, so that they may start together
                "CASSANDRA_LISTEN_ADDRESS": address,
                "CASSANDRA_BROADCAST_ADDRESS": outside,
                "CASSANDRA_RPC_ADDRESS": address,
                "CASSANDRA_DC": datacenter,
                "CASSANDRA_RACK": "a",
                "CASSANDRA_ENDPOINT_SNITCH": "GossipingPropertyFileSnitch",
                "CASSANDRA_NUM_TOKENS": "4",
                "MAX_HEAP_SIZE": heap,
                "JVM_EXTRA_OPTS": DURABLE,
            }
            node = Node(address, datacenter, folder / f"cassandra-{address}", environment)
            stack.callback(node.kill)
            nodes.append(node)
        cluster = Nodes(nodes)
        cluster.wait()
        yield cluster


@contextmanager
def session_to(address: str) -> Iterator[Session]:
    """A plain session with that one node, for looking behind the product's back."""
    profile = ExecutionProfile(load_balancing_policy=WhiteListRoundRobinPolicy([address]), request_timeout=20)
    with Cluster(
        [address],
        protocol_version=ProtocolVersion.V5,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        monitor_reporting_enabled=False,
    ) as cluster:
        yield cluster.connect()


def free_address() -> str:
    return f"127.203.{os.getpid() % 250}.{next(_hosts) % 250}"


def _state(thread: Path) -> str:
    return (thread / "stat").read_text().rpartition(") ")[2][0]


def _answers(address: str, known: int) -> bool:
    """Whether it takes CQL, and knows that many nodes as members of the ring, itself included."""
    with suppress(OSError), socket.create_connection((address, 9042), timeout=1), session_to(address) as session:
        peers = session.execute("SELECT peer FROM system.peers_v2").all()
        return len(peers) + 1 >= known
    return False

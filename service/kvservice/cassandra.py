"""The way to a Cassandra, for those who keep something there: the store, and the migrations. Knows no table."""

import asyncio
import logging
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cassandra import AuthenticationFailed, DriverException, OperationTimedOut, Timeout, UnresolvableContactPoints
from cassandra import Unavailable as TooFewReplicas
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.connection import ConnectionException
from cassandra.policies import ExponentialReconnectionPolicy, HostStateListener
from cassandra.pool import Host
from cassandra.protocol import ErrorMessage

from kvservice.errors import StartError

PATIENCE_S = 60.0  # for nodes that start while we do
PAUSE_S = 1.0
PORT = 9042
FAILURES = (DriverException, NoHostAvailable, ConnectionException, ErrorMessage)
"""All that the driver raises when a request fails."""

log = logging.getLogger(__name__)


class Nodes(NamedTuple):
    """`points`: host or host:port of some nodes. `datacenter`: the one to talk to. `ca`: certificates that the nodes'
    TLS is checked against; None: no TLS."""

    points: tuple[str, ...]
    datacenter: str
    username: str = ""
    password: str = ""
    ca: Path | None = None


async def connect(
    nodes: Nodes, profiles: Mapping[object, ExecutionProfile], *, patience_s: float = PATIENCE_S
) -> tuple[Cluster, Session]:
    """Shut the cluster down when done with it. Raises StartError, if need be after having waited for the nodes."""
    give_up_s = time.monotonic() + patience_s
    while True:
        try:
            return await asyncio.to_thread(_open, nodes, profiles)
        except (NoHostAvailable, UnresolvableContactPoints) as error:
            if _is_refused(error) or time.monotonic() > give_up_s:
                raise StartError(_sentence(nodes, error)) from None
        await asyncio.sleep(PAUSE_S)


def _open(nodes: Nodes, profiles: Mapping[object, ExecutionProfile]) -> tuple[Cluster, Session]:
    cluster = _cluster(nodes, profiles)
    try:
        return cluster, cluster.connect()
    except BaseException:
        cluster.shutdown()
        _check_datacenter(cluster, nodes)
        raise


def _cluster(nodes: Nodes, profiles: Mapping[object, ExecutionProfile]) -> Cluster:
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)  # we say what counts, once; it repeats, with tracebacks
    cluster = Cluster(
        [_point(point) for point in nodes.points],
        execution_profiles=dict(profiles),
        auth_provider=PlainTextAuthProvider(nodes.username, nodes.password) if nodes.username else None,
        ssl_context=_tls(nodes.ca) if nodes.ca else None,
        # By default it gives up after 64 attempts, and may wait for 10 minutes before one.
        reconnection_policy=ExponentialReconnectionPolicy(base_delay=0.5, max_delay=5.0, max_attempts=None),
        idle_heartbeat_interval=5,
        idle_heartbeat_timeout=5,
        control_connection_timeout=5.0,
        application_name="kvservice",
        monitor_reporting_enabled=False,
    )
    cluster.register_listener(_Watch())
    return cluster


def _point(point: str) -> tuple[str, int]:
    host, _, port = point.partition(":")
    return host, int(port or PORT)


def _tls(ca: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"KV_CASSANDRA_CA={ca}: {error}; expected a PEM file of certificates") from None
    context.check_hostname = False  # nodes tell each other's addresses, which their certificates do not name
    return context


def _check_datacenter(cluster: Cluster, nodes: Nodes) -> None:
    """Nodes that answer, but none of them where we look, are another trouble than nodes that do not answer."""
    seen = {host.datacenter for host in cluster.metadata.all_hosts() if host.datacenter}
    if seen and nodes.datacenter not in seen:
        raise StartError(
            f"Cassandra has no datacenter {nodes.datacenter!r}, only {', '.join(sorted(seen))}; "
            "set KV_CASSANDRA_DATACENTER to the one of this region"
        )


def _is_refused(error: Exception) -> bool:
    return any(isinstance(cause, AuthenticationFailed) for cause in _causes(error))


def _causes(error: Exception) -> list[Exception]:
    """What each node asked has said."""
    errors = getattr(error, "errors", None)
    return list(errors.values()) if isinstance(errors, dict) and errors else [error]


def _sentence(nodes: Nodes, error: Exception) -> str:
    points, why = ",".join(nodes.points), brief(_causes(error)[0])
    if _is_refused(error):
        return f"Cassandra at {points} refuses user {nodes.username!r}: {why}; see KV_CASSANDRA_USERNAME and _PASSWORD"
    return f"no Cassandra node answers at KV_CASSANDRA_POINTS={points}: {why}; start the nodes, or name others"


def brief(error: Exception) -> str:
    """What went wrong, without the driver's own words where they are many."""
    match error:
        case TooFewReplicas():
            return f"{error.alive_replicas} of the {error.required_replicas} copies needed are up"
        case Timeout():
            return f"{error.received_responses} of the {error.required_responses} copies needed answered in time"
        case OperationTimedOut():
            return "nothing came in time"
        case UnresolvableContactPoints():
            return "none of these names has an address"
        case NoHostAvailable():
            return "no node of the datacenter takes requests"
        case ErrorMessage():
            return str(error.message)
        case _:
            return str(error).partition("\n")[0]


class _Watch(HostStateListener):  # type: ignore[misc]
    """A line for each node that goes or comes. Called by the driver's threads."""

    def on_up(self, host: Host) -> None:
        log.info("cassandra node up", extra={"node": host.address, "datacenter": host.datacenter})

    def on_down(self, host: Host) -> None:
        log.warning("cassandra node down", extra={"node": host.address, "datacenter": host.datacenter})

    def on_add(self, host: Host) -> None:
        pass

    def on_remove(self, host: Host) -> None:
        pass

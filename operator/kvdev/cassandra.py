"""The program of the image `cassandra:5.0`: a real Cassandra node, told what to be as the official image is told.

    docker-entrypoint.sh cassandra -f       (or: cassandra -f)

It reads the official image's variables (CASSANDRA_CLUSTER_NAME, _SEEDS, _LISTEN_ADDRESS, _BROADCAST_ADDRESS,
_RPC_ADDRESS, _BROADCAST_RPC_ADDRESS, _DC, _RACK, _ENDPOINT_SNITCH, _NUM_TOKENS; MAX_HEAP_SIZE, HEAP_NEWSIZE,
JVM_EXTRA_OPTS), writes the configuration into the working directory, and becomes Java, so that signals reach Cassandra.

As there, data goes to `cassandra.storagedir`, and JVM_EXTRA_OPTS may name another one. Unlike there, addresses must be
loopback ones, there is no JMX, and little memory is taken; what is acknowledged survives a SIGKILL, but not a power
cut, as nothing is synced to disk.
"""

import os
import shlex
import socket
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from kvdev.errors import KvdevError
from kvdev.parts import cassandra

COMMANDS = (["cassandra", "-f"], ["docker-entrypoint.sh", "cassandra", "-f"])
ADDRESSES = ("listen_address", "rpc_address", "broadcast_address", "broadcast_rpc_address")

# What the official image ships, in the parts that a manifest may lean on; then what keeps a node small.
_YAML = """\
cluster_name: {cluster_name}
num_tokens: {num_tokens}
endpoint_snitch: {endpoint_snitch}
{addresses}
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "{seeds}"}}]
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
commitlog_sync: periodic
commitlog_sync_period: 10000ms

auto_snapshot: false
commitlog_segment_size: 8MiB
commitlog_total_space: 64MiB
commitlog_disk_access_mode: legacy
file_cache_size: 32MiB
networking_cache_size: 16MiB
key_cache_size: 8MiB
counter_cache_size: 0MiB
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
concurrent_reads: 16
concurrent_writes: 16
concurrent_compactors: 1
hints_flush_period: 1000ms
write_request_timeout: 5000ms
cas_contention_timeout: 5000ms
"""

_LOGBACK = """\
<configuration>
  <shutdownHook class="ch.qos.logback.core.hook.DefaultShutdownHook"/>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"""

# Of upstream's conf/jvm17-server.options.
_EXPORTS = """java.base/java.lang.ref java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi
    java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql jdk.attach/sun.tools.attach
    jdk.compiler/com.sun.tools.javac.file jdk.unsupported/sun.misc"""
_OPENS = """java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect
    java.base/java.util java.base/jdk.internal.loader java.base/jdk.internal.math java.base/jdk.internal.module
    java.base/jdk.internal.ref java.base/jdk.internal.reflect java.base/jdk.internal.util.jar java.base/sun.nio.ch
    jdk.compiler/com.sun.tools.javac jdk.management/com.sun.management.internal"""

_SMALL = """-Xms64m -Xss512k -XX:+UseSerialGC -XX:MaxDirectMemorySize=256m -XX:TieredStopAtLevel=1
    -XX:+ExitOnOutOfMemoryError -XX:+PerfDisableSharedMem -XX:ReservedCodeCacheSize=96m"""
_NEEDED = """-Djdk.attach.allowAttachSelf=true -Djava.net.preferIPv4Stack=true
    -Dio.netty.tryReflectionSetAccessible=true -Dio.netty.allocator.maxOrder=9 -Dcassandra-foreground=yes"""
# Waiting that only a network with real distances needs. The row overhead is else measured at each start, for 2 s.
_FAST = """-Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=5000
    -Dcassandra.superuser_setup_delay_ms=0 -Dcassandra.shutdown_announce_in_ms=200 -Dcassandra.skip_sync=true
    -Dcassandra.test.messagingService.nonGracefulShutdown=true -Dcassandra.memtable.row_overhead_size=180"""


class CassandraError(KvdevError):
    """The command line or a variable is not what this Cassandra takes."""


def main() -> None:
    """Becomes Cassandra; exits with a message if that cannot be."""
    here = Path.cwd()
    try:
        _check_command([Path(sys.argv[0]).name, *sys.argv[1:]])
        files = configuration(os.environ)
        jars = cassandra.jars(lambda line: print(line, file=sys.stderr, flush=True))
        command = [str(cassandra.java()), *options(os.environ, here, jars)]
    except KvdevError as error:
        sys.exit(f"cassandra: {error}")
    for name, text in files.items():
        (here / name).write_text(text)
    (here / "tmp").mkdir(exist_ok=True)
    os.execv(command[0], command)  # noqa: S606 no shell is wanted


def configuration(environment: Mapping[str, str]) -> dict[str, str]:
    """Name -> text of each file of the configuration. CassandraError for an address that is not a loopback one."""
    given = {name: environment.get(f"CASSANDRA_{name.upper()}", "") for name in ADDRESSES}
    if not given["listen_address"]:
        raise CassandraError("CASSANDRA_LISTEN_ADDRESS is missing; give the pod's own address (status.podIP)")
    given["rpc_address"] = given["rpc_address"] or given["listen_address"]
    yaml = _YAML.format(
        cluster_name=environment.get("CASSANDRA_CLUSTER_NAME", "Test Cluster"),
        num_tokens=environment.get("CASSANDRA_NUM_TOKENS", "16"),
        endpoint_snitch=environment.get("CASSANDRA_ENDPOINT_SNITCH", "SimpleSnitch"),
        addresses="\n".join(f"{name}: {_loopback(name, value)}" for name, value in given.items() if value),
        seeds=environment.get("CASSANDRA_SEEDS", given["listen_address"]),
    )
    place = f"dc={environment.get('CASSANDRA_DC', 'dc1')}\nrack={environment.get('CASSANDRA_RACK', 'rack1')}\n"
    return {"cassandra.yaml": yaml, "cassandra-rackdc.properties": place, "logback.xml": _LOGBACK}


def options(environment: Mapping[str, str], here: Path, jars: list[Path]) -> list[str]:
    """Java's arguments; of two that say the same thing the later one holds, so JVM_EXTRA_OPTS comes last."""
    (agent,) = (path for path in jars if path.name.startswith("jamm-"))
    newsize = environment.get("HEAP_NEWSIZE")
    own_tmp = here / "tmp"
    return [
        f"-Xmx{environment.get('MAX_HEAP_SIZE', '512M')}",
        *([f"-Xmn{newsize}"] if newsize else []),
        *_SMALL.split(),
        *(f"--add-exports={each}=ALL-UNNAMED" for each in _EXPORTS.split()),
        *(f"--add-opens={each}=ALL-UNNAMED" for each in _OPENS.split()),
        *_NEEDED.split(),
        *_FAST.split(),
        f"-Djava.io.tmpdir={own_tmp}",
        f"-Djna.tmpdir={own_tmp}",
        f"-Dlogback.configurationFile={here}/logback.xml",
        f"-Dcassandra.config=file://{here}/cassandra.yaml",
        f"-Dcassandra-rackdc.properties=file://{here}/cassandra-rackdc.properties",
        f"-Dcassandra.storagedir={here}/data",
        f"-javaagent:{agent}",
        *shlex.split(environment.get("JVM_EXTRA_OPTS", "")),
        "-cp",
        ":".join(map(str, jars)),
        "org.apache.cassandra.service.CassandraDaemon",
    ]


def _check_command(argv: list[str]) -> None:
    if argv[0] not in ("cassandra", "docker-entrypoint.sh"):  # python -m kvdev.cassandra cassandra -f
        argv = argv[1:]
    if argv not in COMMANDS:
        raise CassandraError(f"{' '.join(argv)!r} is not known here; expected: docker-entrypoint.sh cassandra -f")


def _loopback(name: str, value: str) -> str:
    try:
        address = ip_address(socket.gethostbyname(value))
    except OSError:
        raise CassandraError(f"CASSANDRA_{name.upper()}={value} has no address") from None
    if not address.is_loopback:
        raise CassandraError(f"CASSANDRA_{name.upper()}={value} is not a loopback address, and only those are used")
    return value


if __name__ == "__main__":
    main()

"""Brings the keyspace to where this build needs it: makes it, applies each file once, keeps a journal.

Schema changes go one by one, each only when all nodes agree on the schema before and after it.
"""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import DCAwareRoundRobinPolicy

from kvservice.cassandra import FAILURES, PATIENCE_S, Nodes, brief, connect
from kvservice.errors import MigrationError
from kvservice.migrate.files import Migration, of_build
from kvservice.migrate.lease import held, table

STATEMENT_S = 30.0
AGREEMENT_S = 30.0

Say = Callable[[str], None]
"""Takes one line of progress."""

_JOURNAL = "CREATE TABLE IF NOT EXISTS migration (file text PRIMARY KEY, checksum text, applied_at timestamp)"
_NOTE = "INSERT INTO migration (file, checksum, applied_at) VALUES (%s, %s, %s)"
_REPLICATION = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s"


async def migrate(
    nodes: Nodes,
    keyspace: str,
    replication: Mapping[str, int],
    say: Say,
    *,
    migrations: Sequence[Migration] | None = None,
    patience_s: float = PATIENCE_S,
) -> list[str]:
    """-> the files that were applied now. `replication`: copies in each datacenter. Twice is as good as once.

    Raises StartError if no node answers, MigrationError if the schema cannot be brought there.
    """
    profile = ExecutionProfile(
        load_balancing_policy=DCAwareRoundRobinPolicy(local_dc=nodes.datacenter),
        consistency_level=ConsistencyLevel.QUORUM,  # of all datacenters together: they share the schema
        serial_consistency_level=ConsistencyLevel.SERIAL,
        request_timeout=STATEMENT_S,
    )
    cluster, session = await connect(nodes, {EXEC_PROFILE_DEFAULT: profile}, patience_s=patience_s)
    try:
        runner = _Runner(cluster, session, say, patience_s)
        return await asyncio.to_thread(runner.run, keyspace, replication, migrations or of_build())
    except FAILURES as error:
        raise MigrationError(
            f"Cassandra does not take the schema: {brief(error)}; mend that, and run it again"
        ) from error
    finally:
        await asyncio.to_thread(cluster.shutdown)


class _Runner:
    """Blocks; run it in a thread."""

    def __init__(self, cluster: Cluster, session: Session, say: Say, patience_s: float) -> None:
        self._cluster = cluster
        self._session = session
        self._say = say
        self._patience_s = patience_s

    def run(self, keyspace: str, replication: Mapping[str, int], migrations: Sequence[Migration]) -> list[str]:
        self._wait_for_nodes(replication)
        self._change(f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {_cql(replication)}")
        self._session.set_keyspace(keyspace)
        self._change(table(keyspace))
        holder = f"{socket.gethostname()}-{uuid4().hex[:8]}"
        with held(self._session, holder, self._say) as renew:
            self._change(_JOURNAL)
            missing = self._missing(migrations)
            for migration in missing:
                self._apply(migration, renew)
            renew()
            self._replicate(keyspace, replication)
        return [migration.name for migration in missing]

    def _wait_for_nodes(self, replication: Mapping[str, int]) -> None:
        """As many in each datacenter as there shall be copies: with fewer, the keyspace would take no writes."""
        give_up_s = time.monotonic() + self._patience_s
        told: dict[str, str] = {}
        while few := self._too_few(replication):
            if time.monotonic() > give_up_s:
                raise MigrationError(
                    f"{'; '.join(few.values())}; start the nodes that are missing, or ask for fewer copies with "
                    "KV_CASSANDRA_REPLICATION"
                )
            if few != told:
                self._say(f"waiting for nodes: {'; '.join(few.values())}")
                told = few
            time.sleep(1)

    def _too_few(self, replication: Mapping[str, int]) -> dict[str, str]:
        nodes = Counter(host.datacenter for host in self._cluster.metadata.all_hosts())
        return {
            datacenter: f"datacenter {datacenter} has {nodes[datacenter]} of the {copies} nodes that its copies need"
            for datacenter, copies in replication.items()
            if nodes[datacenter] < copies
        }

    def _missing(self, migrations: Sequence[Migration]) -> list[Migration]:
        applied = {row.file: row.checksum for row in self._session.execute("SELECT file, checksum FROM migration")}
        for name, checksum, _ in migrations:
            if name in applied and applied[name] != checksum:
                raise MigrationError(
                    f"{name} was applied with the checksum {applied[name][:12]}, and this build has it with "
                    f"{checksum[:12]}; use a build whose {name} is the one applied, and add a new file for what is new"
                )
        return [migration for migration in migrations if migration.name not in applied]

    def _apply(self, migration: Migration, renew: Callable[[], None]) -> None:
        for number, statement in enumerate(migration.statements, 1):
            self._say(f"{migration.name}: statement {number} of {len(migration.statements)}")
            renew()
            self._change(statement)
        renew()
        self._session.execute(_NOTE, (migration.name, migration.checksum, datetime.now(UTC)))

    def _replicate(self, keyspace: str, replication: Mapping[str, int]) -> None:
        """Last, because copies that are new know nothing yet: not who holds the lease, and not the journal, which is
        therefore written again."""
        present = dict(self._session.execute(_REPLICATION, (keyspace,)).one().replication)
        strategy = present.pop("class")
        if strategy.endswith("NetworkTopologyStrategy") and present == {to: str(n) for to, n in replication.items()}:
            return
        journal = self._session.execute("SELECT file, checksum, applied_at FROM migration").all()
        self._change(f"ALTER KEYSPACE {keyspace} WITH replication = {_cql(replication)}")
        for row in journal:
            self._session.execute(_NOTE, row)
        self._say(f"copies are now {dict(replication)}, they were {present}: run `nodetool repair --full {keyspace}`")

    def _change(self, statement: str) -> None:
        self._agree()
        self._session.execute(statement)
        self._agree()

    def _agree(self) -> None:
        if not self._cluster.control_connection.wait_for_schema_agreement(wait_time=AGREEMENT_S):
            raise MigrationError(
                f"the nodes do not agree on the schema after {AGREEMENT_S:.0f} s; see `nodetool describecluster`, "
                "restart the nodes that differ and migrate again"
            )


def _cql(replication: Mapping[str, int]) -> str:
    copies = "".join(f", '{datacenter.replace(chr(39), chr(39) * 2)}': {n}" for datacenter, n in replication.items())
    return f"{{'class': 'NetworkTopologyStrategy'{copies}}}"

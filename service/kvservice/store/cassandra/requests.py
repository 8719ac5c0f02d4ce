"""The driver as coroutines: prepared statements, how each is sent, and what its failures mean.

The driver does its I/O in one thread of its own, from where answers are handed to the event loop; no other thread takes
part, nothing here blocks.
"""

import asyncio
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any

from cassandra import ConsistencyLevel, OperationTimedOut, RequestValidationException
from cassandra import Unavailable as TooFewReplicas
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.policies import (
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    FallthroughRetryPolicy,
)
from cassandra.pool import Host
from cassandra.query import PreparedStatement, Statement, tuple_factory

from kvservice.cassandra import FAILURES, Nodes, brief, connect
from kvservice.errors import StartError, StoreUnavailable

ATTEMPT_S = 3.0  # for one request, the driver's own failover to other nodes included
ATTEMPTS = 3  # of what may be repeated, when no answer came
HEDGE_S = 0.1  # a node that has not answered by then may be gone: another one is asked, too
SERIAL_HEDGE_S = 1.0  # later, because serial reads push conditional writes back
SILENT_S = 10.0  # for which a node that did not answer is asked last; by then the driver has seen that it is gone

Rows = list[tuple[Any, ...]]

# Never INSERT: it also leaves a marker that outlives an expired cell, and the row would be there without its value. So
# "never written" and "expired" are the same to a condition: null.
_STATEMENTS = {
    "read": "SELECT envelope FROM record WHERE namespace = ? AND id = ? AND item = ?",
    "present": "SELECT item, envelope, receipt FROM record WHERE namespace = ? AND id = ? AND item IN (?, ?)",
    "scan": "SELECT item, envelope FROM record WHERE namespace = ? AND id = ? AND item >= ? LIMIT ?",
    "scan_below": "SELECT item, envelope FROM record WHERE namespace = ? AND id = ? AND item >= ? AND item < ? LIMIT ?",
    "now": "SELECT toUnixTimestamp(now()) FROM system.local",
    "put": """UPDATE record USING TIMESTAMP ? AND TTL ? SET envelope = ? WHERE namespace = ? AND id = ? AND item = ?""",
    "swap": """UPDATE record USING TTL ? SET envelope = ? WHERE namespace = ? AND id = ? AND item = ?
        IF envelope = ?""",
    "swap_receipt": """UPDATE record USING TTL 86400 SET receipt = ? WHERE namespace = ? AND id = ? AND item = ?
        IF receipt = ?""",
}
_STATEMENTS["swap_both"] = f"BEGIN BATCH {_STATEMENTS['swap']}; {_STATEMENTS['swap_receipt']}; APPLY BATCH"
_REFUSALS = (TooFewReplicas, NoHostAvailable, RequestValidationException)  # of the failures: nothing was begun


class How(Enum):
    QUORUM = EXEC_PROFILE_DEFAULT
    ONE = "one"
    SERIAL = "serial"
    CONDITIONAL = "conditional"
    """Never sent twice by the driver: who sent it must know of each time."""


class AnswerLost(StoreUnavailable):
    """What was asked may have happened, or may yet."""


class Requests:
    def __init__(self, session: Session, balancing: "ReplicasFirst", statements: dict[str, PreparedStatement]) -> None:
        self._session = session
        self._balancing = balancing
        self._statements = statements

    @classmethod
    async def connect(cls, nodes: Nodes, keyspace: str, *, patience_s: float) -> "Requests":
        """Raises StartError."""
        balancing = ReplicasFirst(local_dc=nodes.datacenter)
        cluster, session = await connect(nodes, _profiles(balancing), patience_s=patience_s)
        session.use_client_timestamp = False  # plain writes say theirs, conditional ones must not have any
        try:
            return cls(session, balancing, await asyncio.to_thread(_prepare, session, keyspace))
        except BaseException:
            await asyncio.to_thread(cluster.shutdown)
            raise

    async def close(self) -> None:
        await asyncio.to_thread(self._session.cluster.shutdown)

    async def repeat(self, name: str, values: Sequence[object], how: How = How.QUORUM) -> Rows:
        """For what is the same when it is done twice."""
        for _ in range(ATTEMPTS - 1):
            with suppress(AnswerLost):
                return await self.once(name, values, how)
        return await self.once(name, values, how)

    async def once(self, name: str, values: Sequence[object], how: How) -> Rows:
        """Raises StoreUnavailable if nothing was begun, AnswerLost if nobody can tell."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Rows] = loop.create_future()

        def settle(rows: Rows | None, error: Exception | None = None) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_settle, answer, rows, error)

        response = self._session.execute_async(self._statements[name], values, execution_profile=how.value)
        response.add_callbacks(settle, lambda error: settle(None, error))
        try:
            return await answer
        except _REFUSALS as error:
            raise StoreUnavailable(f"the store refuses: {brief(error)}; try again") from error
        except FAILURES as error:
            if isinstance(error, OperationTimedOut):
                self._balancing.ask_last(error.last_host)
            raise AnswerLost(f"the store does not answer: {brief(error)}; try again") from error


class ReplicasFirst(DCAwareRoundRobinPolicy):  # type: ignore[misc]
    """Nodes of the datacenter: those that answer before those that did not of late, and of these the ones with the
    data before the others; in any order else, as the next attempt shall go elsewhere.

    The driver's TokenAwarePolicy with shuffle_replicas (3.30.1) shuffles one list for all, so that requests which are
    on their way through it skip nodes, and end with "no host available".
    """

    def __init__(self, local_dc: str) -> None:
        super().__init__(local_dc=local_dc)
        self._silent_until: dict[Host, float] = {}

    def ask_last(self, host: Host) -> None:
        self._silent_until[host] = time.monotonic() + SILENT_S

    def populate(self, cluster: Cluster, hosts: Iterable[Host]) -> None:
        super().populate(cluster, hosts)
        self._metadata = cluster.metadata

    def make_query_plan(self, working_keyspace: str | None = None, query: Statement | None = None) -> Iterator[Host]:
        plan = super().make_query_plan(working_keyspace, query)
        key = query.routing_key if query else None
        replicas = self._metadata.get_replicas(query.keyspace or working_keyspace, key) if query and key else ()
        now_s = time.monotonic()

        def rank(host: Host) -> tuple[bool, bool, float]:
            return self._silent_until.get(host, 0) > now_s, host not in replicas, random.random()  # noqa: S311

        return iter(sorted(plan, key=rank))


def _profiles(balancing: ReplicasFirst) -> dict[object, ExecutionProfile]:
    def profile(consistency: int, hedge_s: float | None = None, **others: object) -> ExecutionProfile:
        if hedge_s is not None:
            others["speculative_execution_policy"] = ConstantSpeculativeExecutionPolicy(hedge_s, 1)
        return ExecutionProfile(
            load_balancing_policy=balancing,
            consistency_level=consistency,
            serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
            request_timeout=ATTEMPT_S,
            row_factory=tuple_factory,  # the default one makes a class a result
            **others,
        )

    return {
        How.QUORUM.value: profile(ConsistencyLevel.LOCAL_QUORUM, HEDGE_S),
        How.ONE.value: profile(ConsistencyLevel.LOCAL_ONE, HEDGE_S),
        How.SERIAL.value: profile(ConsistencyLevel.LOCAL_SERIAL, SERIAL_HEDGE_S),
        How.CONDITIONAL.value: profile(ConsistencyLevel.LOCAL_QUORUM, retry_policy=FallthroughRetryPolicy()),
    }


def _prepare(session: Session, keyspace: str) -> dict[str, PreparedStatement]:
    try:
        session.set_keyspace(keyspace)
        statements = {name: session.prepare(text) for name, text in _STATEMENTS.items()}
    except RequestValidationException as error:
        raise StartError(
            f"Cassandra has no tables of this build in keyspace {keyspace!r} ({brief(error)}); "
            "run `kvservice migrate` with the same KV_CASSANDRA_* first"
        ) from None
    except FAILURES as error:
        raise StartError(f"Cassandra takes no statements: {brief(error)}; look at its log, then start again") from None
    for name, statement in statements.items():
        statement.is_idempotent = not name.startswith("swap")
    return statements


def _settle(answer: asyncio.Future[Rows], rows: Rows | None, error: Exception | None) -> None:
    if answer.done():  # cancelled; or two nodes were asked, and this is the second
        return
    if error is None:
        answer.set_result(rows or [])
    else:
        answer.set_exception(error)

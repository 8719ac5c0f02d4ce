"""One runner at a time: a row that one of them holds, by lightweight transactions among all datacenters.

It falls free by itself when its holder dies. The holder renews it before each statement; who finds it lost stops.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import NAMESPACE_OID, uuid5

from cassandra.cluster import Session

from kvservice.cassandra import FAILURES
from kvservice.errors import MigrationError

LIFE_S = 60
PATIENCE_S = 120.0
PAUSE_S = 0.5

_TABLE = "CREATE TABLE IF NOT EXISTS migration_lease (name text PRIMARY KEY, holder text) WITH id = {}"
_TAKE = "INSERT INTO migration_lease (name, holder) VALUES ('runner', %s) IF NOT EXISTS USING TTL %s"
_RENEW = "UPDATE migration_lease USING TTL %s SET holder = %s WHERE name = 'runner' IF holder = %s"
_FREE = "DELETE FROM migration_lease WHERE name = 'runner' IF holder = %s"


def table(keyspace: str) -> str:
    """What makes the table. Its id is fixed: runners that made it at the same moment would make two, of two ids."""
    return _TABLE.format(uuid5(NAMESPACE_OID, f"{keyspace}.migration_lease"))


@contextmanager
def held(session: Session, holder: str, say: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Waits for the lease; gives the function that renews it. Raises MigrationError."""
    _take(session, holder, say)

    def renew() -> None:
        if not session.execute(_RENEW, (LIFE_S, holder, holder)).was_applied:
            raise MigrationError(
                f"the lease of the migrations was lost: held for more than {LIFE_S} s without a sign of life, "
                "another runner may be at work; run `kvservice migrate` again"
            )

    try:
        yield renew
    finally:
        with suppress(*FAILURES):  # then it falls free by itself
            session.execute(_FREE, (holder,))


def _take(session: Session, holder: str, say: Callable[[str], None]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    told = ""
    while not (answer := session.execute(_TAKE, (holder, LIFE_S))).was_applied:
        other = str(answer.one().holder)
        if other == holder:  # the driver asked twice
            return
        if time.monotonic() > give_up_s:
            raise MigrationError(f"{other} has been migrating for {PATIENCE_S:.0f} s; wait for its end, or end it")
        if other != told:
            say(f"{other} is migrating: waiting for its end")
            told = other
        time.sleep(PAUSE_S)

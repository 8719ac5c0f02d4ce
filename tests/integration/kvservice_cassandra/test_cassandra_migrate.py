"""Migrations on a real node: each file once, by one runner at a time, never a file that changed."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import pytest
from cassandra.cluster import Session
from cassandras import session_to

from kvservice.cassandra import Nodes
from kvservice.errors import MigrationError
from kvservice.migrate import migrate
from kvservice.migrate.files import Migration, of_build

pytestmark = pytest.mark.real

ALL = [migration.name for migration in of_build()]
SECOND = Migration("0002_more.cql", "2" * 64, ("CREATE TABLE IF NOT EXISTS more (id text PRIMARY KEY)",))


@pytest.fixture(scope="module")
def session(nodes: Nodes) -> Iterator[Session]:
    with session_to(nodes.points[0]) as session:
        yield session


@pytest.fixture
def keyspace() -> str:
    return f"kv_{uuid4().hex[:12]}"


def replication_of(session: Session, keyspace: str) -> dict[str, str]:
    query = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s"
    return dict(session.execute(query, (keyspace,)).one().replication)


def journal(session: Session, keyspace: str) -> dict[str, str]:
    return {row.file: row.checksum for row in session.execute(f"SELECT file, checksum FROM {keyspace}.migration")}


async def test_the_first_run_makes_keyspace_and_tables_and_notes_each_file(
    nodes: Nodes, session: Session, keyspace: str
) -> None:
    assert await migrate(nodes, keyspace, {nodes.datacenter: 1}, print) == ALL

    assert replication_of(session, keyspace)[nodes.datacenter] == "1"
    assert session.execute(f"SELECT * FROM {keyspace}.record").all() == []
    assert journal(session, keyspace) == {migration.name: migration.checksum for migration in of_build()}


async def test_twice_is_as_good_as_once(nodes: Nodes, keyspace: str) -> None:
    said: list[str] = []
    await migrate(nodes, keyspace, {nodes.datacenter: 1}, print)
    assert await migrate(nodes, keyspace, {nodes.datacenter: 1}, said.append) == []
    assert said == []


async def test_only_what_is_new_is_applied(nodes: Nodes, session: Session, keyspace: str) -> None:
    await migrate(nodes, keyspace, {nodes.datacenter: 1}, print)

    assert await migrate(nodes, keyspace, {nodes.datacenter: 1}, print, migrations=[*of_build(), SECOND]) == [
        SECOND.name
    ]
    assert session.execute(f"SELECT * FROM {keyspace}.more").all() == []


async def test_an_older_build_leaves_what_it_does_not_know(nodes: Nodes, keyspace: str) -> None:
    await migrate(nodes, keyspace, {nodes.datacenter: 1}, print, migrations=[*of_build(), SECOND])

    assert await migrate(nodes, keyspace, {nodes.datacenter: 1}, print) == []


async def test_a_file_that_changed_after_it_was_applied_is_refused(
    nodes: Nodes, session: Session, keyspace: str
) -> None:
    await migrate(nodes, keyspace, {nodes.datacenter: 1}, print)
    changed = [migration._replace(checksum="c" * 64) for migration in of_build()]

    with pytest.raises(MigrationError, match=rf"{ALL[0]} was applied with .* this build has it with cccccccccccc"):
        await migrate(nodes, keyspace, {nodes.datacenter: 1}, print, migrations=[*changed, SECOND])
    assert SECOND.name not in journal(session, keyspace)


async def test_a_refused_run_frees_its_lease(nodes: Nodes, keyspace: str) -> None:
    wrong = Migration("0002_wrong.cql", "w" * 64, ("CREATE SOMETHING",))
    with pytest.raises(MigrationError, match="does not take the schema"):
        await migrate(nodes, keyspace, {nodes.datacenter: 1}, print, migrations=[wrong])

    said: list[str] = []
    await migrate(nodes, keyspace, {nodes.datacenter: 1}, said.append)
    assert not [line for line in said if "waiting" in line]


async def test_two_runners_at_once_apply_each_file_once(nodes: Nodes, session: Session, keyspace: str) -> None:
    runs = await asyncio.gather(
        *(migrate(nodes, keyspace, {nodes.datacenter: 1}, print, migrations=[*of_build(), SECOND]) for _ in range(2))
    )

    assert sorted(runs) == [[], [*ALL, SECOND.name]]


async def test_a_runner_waits_for_the_one_that_holds_the_lease(nodes: Nodes, session: Session, keyspace: str) -> None:
    await migrate(nodes, keyspace, {nodes.datacenter: 1}, print)
    lease = f"INSERT INTO {keyspace}.migration_lease (name, holder) VALUES ('runner', 'somebody') IF NOT EXISTS"
    session.execute(lease)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        loop.call_soon_threadsafe(told.set)

    running = asyncio.create_task(migrate(nodes, keyspace, {nodes.datacenter: 1}, say, migrations=[SECOND]))
    async with asyncio.timeout(20):
        await told.wait()
    assert said == ["somebody is migrating: waiting for its end"]
    assert SECOND.name not in journal(session, keyspace)

    session.execute(f"DELETE FROM {keyspace}.migration_lease WHERE name = 'runner' IF EXISTS")
    assert await running == [SECOND.name]


async def test_a_runner_whose_lease_is_gone_stops(nodes: Nodes, session: Session, keyspace: str) -> None:
    def lose_it(line: str) -> None:
        session.execute(f"UPDATE {keyspace}.migration_lease SET holder = 'thief' WHERE name = 'runner' IF EXISTS")

    with pytest.raises(MigrationError, match="lease of the migrations was lost"):
        await migrate(nodes, keyspace, {nodes.datacenter: 1}, lose_it, migrations=[SECOND])
    assert journal(session, keyspace) == {}


async def test_another_replication_is_brought_to_the_keyspace_and_told(
    nodes: Nodes, session: Session, keyspace: str
) -> None:
    simple = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {simple}")
    said: list[str] = []
    assert await migrate(nodes, keyspace, {nodes.datacenter: 1}, said.append) == ALL

    now = replication_of(session, keyspace)
    assert now.pop("class").endswith("NetworkTopologyStrategy")
    assert now == {nodes.datacenter: "1"}
    assert "nodetool repair" in said[-1]
    assert await migrate(nodes, keyspace, {nodes.datacenter: 1}, print) == []


@pytest.mark.parametrize(("datacenter", "seen"), [("eu-west", "1 of the 3"), ("nowhere", "0 of the 3")])
async def test_more_copies_than_nodes_are_refused(
    nodes: Nodes, session: Session, keyspace: str, datacenter: str, seen: str
) -> None:
    with pytest.raises(MigrationError, match=f"datacenter {datacenter} has {seen} nodes"):
        await migrate(nodes, keyspace, {datacenter: 3}, print, patience_s=0)
    query = "SELECT * FROM system_schema.keyspaces WHERE keyspace_name = %s"
    assert session.execute(query, (keyspace,)).one() is None

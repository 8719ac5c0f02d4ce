"""The client and real pods."""

import itertools
import json
import signal
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kvclient import (
    AsyncClient,
    Client,
    Delete,
    Key,
    NotHome,
    OutcomeUnknown,
    Patch,
    PreconditionFailed,
    Put,
    Rejected,
    SessionNotSatisfied,
    Unavailable,
)

pytestmark = pytest.mark.real
SHARED = {"KV_SESSION_SECRET": "the same for all"}
_namespaces = itertools.count()


@pytest.fixture(scope="module")
def pod(start_shared_pod: Any) -> Any:
    return start_shared_pod(**SHARED)


@pytest.fixture
def kv(pod: Any) -> Iterator[Client]:
    with Client(pod.url, deadline_s=20) as client:
        yield client


@pytest.fixture
async def async_kv(pod: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(pod.url, deadline_s=20) as client:
        yield client


@pytest.fixture
def namespace() -> str:
    """One that no other test uses."""
    return f"client{next(_namespaces)}"


def test_the_five_lines(pod: Any, capsys: Any) -> None:
    with Client(pod.url) as kv:
        kv.put("demo", "hello", b"world")
        print(kv.get("demo", "hello").value)  # type: ignore[union-attr] # as a first user writes it

    assert capsys.readouterr().out == "b'world'\n"


def test_a_record_comes_back_as_it_was_written(kv: Client, namespace: str) -> None:
    value = bytes(range(256)) * 100
    written = kv.put(namespace, "a", value, content_type='image/x; q="\xe9"', ttl_s=600)
    record = kv.get(namespace, "a", consistency="quorum")

    assert written.created
    assert record is not None
    assert (record.value, record.version) == (value, written.version)
    assert record.content_type == 'image/x; q="\xe9"'
    assert record.ttl_s is not None
    assert 0 < record.ttl_s <= 600
    assert kv.exists(namespace, "a")
    kv.delete(namespace, "a")
    assert kv.get(namespace, "a") is None
    assert kv.head(namespace, "a") is None


@pytest.mark.parametrize("name", ["a/b", ".", "..", "%2F", "?#&;+ ", "ä☃", "a\\b", "items"])
def test_any_name_is_a_name(kv: Client, namespace: str, name: str) -> None:
    kv.put(namespace, name, b"own")
    kv.put(namespace, name, b"of the item", item=name)

    assert [(record and record.value) for record in (kv.get(namespace, name), kv.get(namespace, name, name))] == [
        b"own",
        b"of the item",
    ]
    assert [item.item for item in kv.items(namespace, name)] == [name]


def test_conditions_hold(kv: Client, namespace: str) -> None:
    first = kv.put(namespace, "a", b"1", create_only=True)
    with pytest.raises(PreconditionFailed) as caught:
        kv.put(namespace, "a", b"2", create_only=True)
    assert caught.value.present_version == first.version

    second = kv.put(namespace, "a", b"2", if_match=first.version)
    with pytest.raises(PreconditionFailed):
        kv.delete(namespace, "a", if_match=first.version)
    kv.delete(namespace, "a", if_match=second.version)
    with pytest.raises(PreconditionFailed) as caught:
        kv.put(namespace, "a", b"3", if_match=second.version)
    assert caught.value.present_version is None


def test_a_known_record_is_confirmed(kv: Client, namespace: str) -> None:
    kv.put(namespace, "a", b"1")
    known = kv.get(namespace, "a")
    again = kv.get(namespace, "a", known=known)
    kv.put(namespace, "a", b"2")
    changed = kv.get(namespace, "a", known=known)

    assert known is not None
    assert again is not None
    assert changed is not None
    assert (again.value, again.version) == (b"1", known.version)
    assert changed.value == b"2"


def test_a_patch_merges(kv: Client, namespace: str) -> None:
    kv.patch(namespace, "a", {"b": 1, "c": 2})
    kv.patch(namespace, "a", {"b": None, "d": {"e": "ä"}})
    record = kv.get(namespace, "a")

    assert record is not None
    assert record.json() == {"c": 2, "d": {"e": "ä"}}


def test_all_items_come_in_order_page_after_page(kv: Client, namespace: str) -> None:
    names = sorted((f"{number:03}" for number in range(250)), key=str.encode)
    kv.write_many(namespace, [Put("a", name.encode(), item=name) for name in names])

    assert [(item.item, item.value) for item in kv.items(namespace, "a", page_size=40)] == [
        (name, name.encode()) for name in names
    ]
    assert [item.item for item in kv.items(namespace, "a", prefix="1", after="197")] == ["198", "199"]


async def test_items_are_an_async_iterator(async_kv: AsyncClient, namespace: str) -> None:
    await async_kv.write_many(namespace, [Put("a", b"", item=name) for name in "abc"])

    assert [item.item async for item in async_kv.items(namespace, "a", page_size=2)] == ["a", "b", "c"]


def test_each_write_of_a_batch_has_its_own_outcome(kv: Client, namespace: str) -> None:
    kv.put(namespace, "there", b"1")
    results = kv.write_many(
        namespace,
        [
            Put("there", b"2", create_only=True),
            Put("new", b"3", content_type="x/y", ttl_s=60),
            Patch("patched", {"a": 1}),
            Delete("there", item="none"),
            Put("x" * 600, b""),
        ],
    )

    assert [type(result).__name__ for result in results] == [
        "PreconditionFailed",
        "Written",
        "Written",
        "Written",
        "Rejected",
    ]
    there, new, patched, absent = kv.get_many(namespace, ["there", "new", "patched", Key("there", "none")])
    assert [getattr(each, "value", None) for each in (there, new, patched, absent)] == [b"1", b"3", b'{"a":1}', None]
    assert getattr(new, "content_type", "") == "x/y"


def test_more_bytes_than_a_batch_takes_are_written_and_read(kv: Client, namespace: str) -> None:
    values = {str(number): bytes([number]) * 2**20 for number in range(12)}
    written = kv.write_many(namespace, [Put(id_, value) for id_, value in values.items()], deadline_s=60)
    read = kv.get_many(namespace, values, deadline_s=60)

    assert all(getattr(result, "created", False) for result in written)
    assert [getattr(record, "value", record) for record in read] == list(values.values())


def test_the_same_call_with_the_same_key_is_one_write(kv: Client, namespace: str) -> None:
    first = kv.put(namespace, "a", b"1", idempotency_key="k")
    other = kv.put(namespace, "a", b"2")
    again = kv.put(namespace, "a", b"1", idempotency_key="k")
    record = kv.get(namespace, "a")

    assert (again.version, again.replayed) == (first.version, True)
    assert record is not None
    assert (record.value, record.version) == (b"2", other.version)
    with pytest.raises(Rejected, match="idempotency-mismatch"):
        kv.put(namespace, "a", b"3", idempotency_key="k")


def test_a_batch_that_is_repeated_is_one_batch(kv: Client, namespace: str) -> None:
    writes = [Put(str(number), b"v") for number in range(150)]
    first = kv.write_many(namespace, writes, idempotency_key="k")
    again = kv.write_many(namespace, writes, idempotency_key="k")

    assert [getattr(each, "version", each) for each in again] == [getattr(each, "version", each) for each in first]
    assert all(getattr(each, "replayed", False) for each in again)


def test_a_session_holds_for_threads_that_share_it(kv: Client, namespace: str) -> None:
    def write_and_read(number: int) -> bytes | None:
        session.put(namespace, str(number), b"v")
        record = session.get(namespace, str(number))
        return None if record is None else record.value

    with kv.session() as session, ThreadPoolExecutor(16) as pool:
        assert list(pool.map(write_and_read, range(64))) == [b"v"] * 64
    assert 1 <= len(str(session).split(",")) <= 8


def test_a_session_goes_on_in_another_client(pod: Any, kv: Client, namespace: str) -> None:
    with kv.session() as session:
        session.put(namespace, "a", b"v")
    with Client(pod.url) as other:
        record = other.session(str(session)).get(namespace, "a")

    assert record is not None
    assert record.session_satisfied


def test_a_session_is_not_taken_back_in_time_in_another_region(start_pod: Any, tmp_path: Any) -> None:
    namespaces = json.dumps(
        [{"name": "strict", "sessionElsewhere": "refuse"}, {"name": "marked", "sessionElsewhere": "mark"}]
    )
    eu, us = (
        start_pod(KV_REGION=name, KV_NAMESPACES=namespaces, KV_STORE_PATH=str(tmp_path / f"{name}.db"), **SHARED)
        for name in ("eu-west", "us-east")
    )
    with Client({"eu-west": eu.url, "us-east": us.url}, deadline_s=3) as kv:
        session = kv.session()
        for namespace in ("strict", "marked"):
            session.put(namespace, "a", b"v")
            session.put(namespace, "a", b"v", item="b")
        eu.process.kill()
        eu.process.wait()
        with pytest.raises(SessionNotSatisfied):
            session.get("strict", "a")
        with pytest.raises(SessionNotSatisfied):  # there is no record that could carry the mark
            session.get("marked", "a")
        with pytest.raises(SessionNotSatisfied):
            list(session.items("marked", "a"))
        assert kv.get("strict", "a") is None


def test_calls_go_on_in_the_next_region_when_one_is_gone(start_pod: Any, tmp_path: Any) -> None:
    eu, us = (
        start_pod(KV_REGION=name, KV_STORE_PATH=str(tmp_path / f"{name}.db"), **SHARED)
        for name in ("eu-west", "us-east")
    )
    with Client({"eu-west": eu.url, "us-east": us.url}) as kv:
        kv.put("demo", "a", b"v")
        eu.process.kill()
        eu.process.wait()
        for _ in range(20):
            kv.put("demo", "a", b"v")
        record = kv.get("demo", "a")
        assert record is not None
        assert record.region == "us-east"


def test_writes_are_taken_to_the_namespaces_home(start_pod: Any, tmp_path: Any) -> None:
    namespaces = json.dumps([{"name": "*", "writeMode": "cas", "home": "us-east"}])
    eu, us = (
        start_pod(KV_REGION=name, KV_NAMESPACES=namespaces, KV_STORE_PATH=str(tmp_path / f"{name}.db"), **SHARED)
        for name in ("eu-west", "us-east")
    )
    with Client({"eu-west": eu.url, "us-east": us.url}) as kv:
        written = kv.put("demo", "a", b"v")
        record = kv.get("demo", "a")
        assert record is None  # read nearby, where no relay runs
    with Client({"us-east": us.url}) as kv:
        record = kv.get("demo", "a")
        assert record is not None
        assert record.version == written.version
    with Client({"eu-west": eu.url}) as kv, pytest.raises(NotHome) as caught:
        kv.put("demo", "a", b"v")
    assert caught.value.home == "us-east"


def test_a_pod_that_stands_still_leaves_a_write_unknown_and_its_key_settles_it(start_pod: Any) -> None:
    pod = start_pod(**SHARED)
    with Client(pod.url, deadline_s=1) as kv:
        kv.put("demo", "a", b"1")
        pod.process.send_signal(signal.SIGSTOP)
        with pytest.raises(OutcomeUnknown) as caught:
            kv.put("demo", "a", b"2")
        pod.process.send_signal(signal.SIGCONT)
        settled = kv.put("demo", "a", b"2", idempotency_key=caught.value.idempotency_key, deadline_s=20)
        record = kv.get("demo", "a", deadline_s=20)

    assert record is not None
    assert (record.value, record.version) == (b"2", settled.version)


def test_when_nobody_is_there_the_message_says_so() -> None:
    with (
        Client("http://127.0.0.1:9", deadline_s=0.3) as kv,
        pytest.raises(Unavailable, match="no connection to default"),
    ):
        kv.put("demo", "a", b"v")

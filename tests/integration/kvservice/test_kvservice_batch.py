"""Batches, in a running pod."""

import itertools
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

_namespaces = itertools.count()


@pytest.fixture(scope="module")
def pod(start_shared_pod: Any) -> Any:
    return start_shared_pod()


@pytest.fixture
def client(pod: Any) -> Iterator[httpx.Client]:
    """Its paths begin with a namespace that no other test uses."""
    with httpx.Client(base_url=f"{pod.url}/v1/kv", timeout=10) as client:
        client.headers["x-namespace"] = f"batch{next(_namespaces)}"
        yield client


def batch(client: httpx.Client, verb: str, *operations: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    path = f"/{client.headers['x-namespace']}:{verb}"
    name = "keys" if verb == "batchGet" else "writes"
    answer = client.post(path, json={name: operations}, headers=headers).raise_for_status()
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def put(id_: str, value: bytes = b"x", **more: Any) -> dict[str, Any]:
    return {"op": "put", "id": id_, "value": b64encode(value).decode(), **more}


def test_a_hundred_records_are_written_and_read_at_once(client: httpx.Client) -> None:
    written = batch(client, "batchWrite", *(put(str(number), str(number).encode()) for number in range(100)))
    found = batch(client, "batchGet", *({"id": str(number)} for number in reversed(range(100))))

    assert {each["status"] for each in written} == {201}
    assert [b64decode(each["value"]) for each in found] == [str(number).encode() for number in reversed(range(100))]
    assert [each["version"] for each in found] == [each["version"] for each in reversed(written)]


def test_what_fails_does_not_hold_what_works(client: httpx.Client) -> None:
    batch(client, "batchWrite", put("there"), put("text"))
    results = batch(
        client,
        "batchWrite",
        put("there", ifNoneMatch="*"),
        put("new", b"{}", contentType="application/json"),
        {"op": "delete", "id": "gone"},
        put("big", bytes(2**20 + 1)),
        {"op": "patch", "id": "text", "value": b64encode(b"{}").decode()},
    )

    assert [each["status"] for each in results] == [412, 201, 204, 413, 409]
    assert [each["status"] for each in batch(client, "batchGet", {"id": "new"}, {"id": "gone"})] == [200, 404]


def test_a_batch_sent_again_is_the_same_writes(client: httpx.Client) -> None:
    sent = [put("a"), {"op": "delete", "id": "b"}, put("c", item="i")]
    one = batch(client, "batchWrite", *sent, **{"idempotency-key": "k1"})
    client.put(f"/{client.headers['x-namespace']}/a", content=b"of another")
    two = batch(client, "batchWrite", *sent, **{"idempotency-key": "k1"})

    assert [each.get("version") for each in one] == [each.get("version") for each in two]
    assert [each.get("replayed") for each in two] == [True, True, True]
    assert client.get(f"/{client.headers['x-namespace']}/a").content == b"of another"

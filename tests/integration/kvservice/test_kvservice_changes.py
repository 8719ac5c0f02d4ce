"""The change feed of a running pod."""

import threading
from typing import Any

import httpx
import pytest

TOKEN = {"authorization": "Bearer relay-token"}


@pytest.fixture
def pod(start_pod: Any) -> Any:
    return start_pod(KV_RELAY_TOKEN="relay-token")


def changes(pod: Any, **query: Any) -> Any:
    return httpx.get(f"{pod.url}/v1/changes", params=query, headers=TOKEN, timeout=30).raise_for_status().json()


def test_each_write_is_a_change_and_the_cursor_goes_on_where_it_ended(pod: Any) -> None:
    httpx.put(f"{pod.url}/v1/kv/demo/a", content=b"1")
    httpx.put(f"{pod.url}/v1/kv/demo/a/items/i", content=b"2")
    first = changes(pod)
    httpx.delete(f"{pod.url}/v1/kv/demo/a")
    second = changes(pod, after=first["next"])

    assert [(each["id"], each.get("item"), each["deleted"]) for each in first["changes"]] == [
        ("a", None, False),
        ("a", "i", False),
    ]
    assert [(each["id"], each["deleted"]) for each in second["changes"]] == [("a", True)]
    assert (first["lost"], second["lost"]) == (False, False)
    assert changes(pod, after=second["next"])["changes"] == []


def test_who_waits_is_told_at_once(pod: Any) -> None:
    cursor = changes(pod)["next"]
    writer = threading.Timer(0.2, lambda: httpx.put(f"{pod.url}/v1/kv/demo/a", content=b"1"))
    writer.start()
    [change] = changes(pod, after=cursor, waitMs=20_000)["changes"]
    writer.join()

    assert change["id"] == "a"


def test_an_answer_is_bounded(pod: Any) -> None:
    for number in range(10):
        httpx.put(f"{pod.url}/v1/kv/demo/{number}", content=bytes(1_000_000))
    cursor = ""
    seen: list[str] = []
    while len(seen) < 10:
        page = changes(pod, after=cursor, limit=1000)
        assert sum(len(each["value"]) for each in page["changes"]) <= 4 * 2**20 * 4 / 3 + 4
        seen += [each["id"] for each in page["changes"]]
        cursor = page["next"]

    assert seen == [str(number) for number in range(10)]


def test_nobody_else_reads_them(pod: Any) -> None:
    assert httpx.get(f"{pod.url}/v1/changes").status_code == 401


def test_without_a_token_in_the_settings_nobody_reads_them(start_pod: Any) -> None:
    assert httpx.get(f"{start_pod().url}/v1/changes", headers=TOKEN).status_code == 401

"""Items of an id, in a running pod."""

import itertools
import random
from base64 import b64decode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

_ids = itertools.count()


@pytest.fixture(scope="module")
def pod(start_shared_pod: Any) -> Any:
    return start_shared_pod(KV_SESSION_SECRET="the same for all")


@pytest.fixture
def client(pod: Any) -> Iterator[httpx.Client]:
    """Its paths are those of an id that no other test uses."""
    with httpx.Client(base_url=f"{pod.url}/v1/kv/demo/id{next(_ids)}", timeout=10) as client:
        yield client


def pages(client: httpx.Client, **query: Any) -> Iterator[list[dict[str, Any]]]:
    """Each page of a range, as clients go through it."""
    while True:
        body = client.get("/items", params=query).raise_for_status().json()
        yield body["items"]
        if body["next"] is None:
            return
        query = {"page": body["next"], "limit": query["limit"]}


def names(client: httpx.Client, **query: Any) -> list[str]:
    return [each["item"] for page in pages(client, **query) for each in page]


def test_items_come_back_in_the_order_of_their_bytes(client: httpx.Client) -> None:
    written = ["a", "a/b", "B", "ä", "\U0001f600", "￿", "a\x01", "~"]
    for item in written:
        client.put(f"/items/{quote(item, safe='')}", content=item.encode()).raise_for_status()
    [page] = pages(client, limit=100)

    assert [each["item"] for each in page] == sorted(written, key=str.encode)
    assert [b64decode(each["value"]).decode() for each in page] == [each["item"] for each in page]


def test_an_item_and_the_ids_own_value_live_side_by_side(client: httpx.Client) -> None:
    client.put("", content=b"own")
    client.put("/items/x", content=b"item")
    assert names(client, limit=100) == ["x"]
    client.delete("")

    assert (client.get("").status_code, client.get("/items/x").content) == (404, b"item")


def test_deleted_items_are_left_out(client: httpx.Client) -> None:
    for item in "abc":
        client.put(f"/items/{item}", content=b"")
    client.delete("/items/b")

    assert names(client, limit=100) == ["a", "c"]


def test_a_range_has_a_beginning_and_a_prefix(client: httpx.Client) -> None:
    for item in ("a", "p1", "p2", "p3", "q"):
        client.put(f"/items/{item}", content=b"")

    assert names(client, limit=100, prefix="p") == ["p1", "p2", "p3"]
    assert names(client, limit=1, prefix="p", after="p1") == ["p2", "p3"]


def test_an_item_says_how_long_it_lasts(client: httpx.Client) -> None:
    client.put("/items/x", content=b"", headers={"kv-ttl": "100"})
    [[item]] = pages(client, limit=1)

    assert 90 <= item["ttlS"] <= 100


def test_a_page_is_bounded_in_bytes_and_its_token_is_good_in_another_pod(
    client: httpx.Client, start_shared_pod: Any
) -> None:
    other = start_shared_pod(KV_SESSION_SECRET="the same for all")
    for item in range(5):
        client.put(f"/items/{item}", content=bytes(500_000))
    first = client.get("/items").json()
    there = httpx.get(
        str(client.base_url).replace(client.base_url.host, other.address) + "items", params={"page": first["next"]}
    )

    assert [len(page) for page in pages(client, limit=100)] == [2, 2, 1]
    assert [each["item"] for each in there.json()["items"]] == ["2", "3"]


@pytest.mark.real
@pytest.mark.counted
def test_paging_cut_anywhere_loses_nothing_and_repeats_nothing(client: httpx.Client, counted: Any) -> None:
    cuts = counted(short=200, full=1000)
    written = [f"{number:03}" for number in range(100)]
    for item in written:
        client.put(f"/items/{item}", content=bytes(20_000))
    choose = random.Random(1)
    done = 0
    while done < cuts:
        seen: list[str] = []
        token: str | None = None
        while True:
            query: dict[str, str | int] = {"limit": choose.randint(1, 60), **({} if token is None else {"page": token})}
            body = client.get("/items", params=query).raise_for_status().json()
            seen += [each["item"] for each in body["items"]]
            token = body["next"]
            if token is None:
                break
            done += 1
        assert seen == written
    counted.tell(f"{done} cuts between pages, nothing lost, nothing twice")

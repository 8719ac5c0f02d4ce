"""Addresses and bodies of records: what reaches the use cases, and what does not."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from kvhttp import Service, problem

from kvservice.core.admission import Admission
from kvservice.core.namespaces import Namespace
from kvservice.core.ports import Key
from kvservice.core.records import Written
from kvservice.core.request import Priority

URL = "/v1/kv/demo/a"


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("demo/a", Key("demo", "a")),
        ("demo/a%2Fb", Key("demo", "a/b")),
        ("demo/a%2Fitems%2Fb", Key("demo", "a/items/b")),
        ("demo/%C3%BC%20%25", Key("demo", "ü %")),
        ("demo/a%253A", Key("demo", "a%3A")),
        ("demo/%61b+", Key("demo", "ab+")),
        ("demo/a/items/b", Key("demo", "a", "b")),
        ("demo/a/%69tems/b%2Fc", Key("demo", "a", "b/c")),
        ("demo/items", Key("demo", "items")),
        ("demo/items/items/items", Key("demo", "items", "items")),
        ("demo/a%3Ab", Key("demo", "a:b")),
    ],
)
async def test_an_address_names_a_record(service: Service, client: httpx.AsyncClient, path: str, key: Key) -> None:
    await client.get(f"/v1/kv/{path}")

    assert service.records.asked == [("read", key)]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/kv/Demo/a", "namespace 'Demo'"),
        ("/v1/kv/demo%0A/a", "namespace"),
        ("/v1/kv/demo/" + "a" * 65, "65 bytes"),
        ("/v1/kv/demo/" + "%C3%BC" * 33, "66 bytes"),
        ("/v1/kv/demo/a/items/" + "a" * 65, "item has 65 bytes"),
        ("/v1/kv/demo/%FF", "UTF-8"),
        ("/v1/kv/demo/%ED%A0%80", "UTF-8"),
        ("/v1/kv/demo/a%00b", "NUL"),
        ("/v1/kv/demo/a/items/%00", "NUL"),
    ],
)
async def test_a_name_that_breaks_a_rule_is_refused_in_words(
    service: Service, client: httpx.AsyncClient, path: str, says: str
) -> None:
    answer = await client.get(path)

    assert problem(answer) == (422, "invalid-request")
    assert says in answer.json()["detail"]
    assert service.records.asked == []


@pytest.mark.parametrize(
    "path", ["/", "/v1/kv/demo", "/v1/kv/demo/", "/v1/kv/demo/a/b", "/v1/kv/demo/a/items/b/c", "/v1/kv/demo/a/items/"]
)
async def test_an_unknown_address_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    assert problem(await client.get(path)) == (404, "unknown-route")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (URL, "DELETE, GET, HEAD, PATCH, PUT"),
        (f"{URL}/items/b", "DELETE, GET, HEAD, PATCH, PUT"),
        (f"{URL}/items", "GET"),
        ("/v1/kv/demo:batchGet", "POST"),
        ("/v1/changes", "GET"),
    ],
)
async def test_an_unknown_method_is_a_problem_that_lists_the_known(
    client: httpx.AsyncClient, path: str, allowed: str
) -> None:
    answer = await client.request("TRACE", path)

    assert (problem(answer), answer.headers["allow"]) == ((405, "method-not-allowed"), allowed)


async def test_a_namespace_that_is_not_configured_is_unknown(service: Service) -> None:
    answer = await service.serve(Namespace(name="mine")).get("/v1/kv/other/a")

    assert problem(answer) == (404, "unknown-namespace")
    assert "mine" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "verb"), [("PUT", "write"), ("PATCH", "patch"), ("DELETE", "delete")])
async def test_each_method_is_its_use_case(service: Service, client: httpx.AsyncClient, method: str, verb: str) -> None:
    await client.request(method, URL, content=b"{}", headers={"content-type": "application/merge-patch+json"})

    assert [call[:2] for call in service.records.asked] == [(verb, Key("demo", "a"))]


@pytest.mark.parametrize("kind", ["text/plain", "", "application/json-patch+json"])
async def test_a_patch_of_another_kind_is_refused(service: Service, client: httpx.AsyncClient, kind: str) -> None:
    answer = await client.patch(URL, content=b"{}", headers={"content-type": kind})

    assert problem(answer) == (422, "invalid-request")
    assert "application/merge-patch+json" in answer.json()["detail"]


async def test_a_patch_that_makes_the_record_has_created_it(service: Service, client: httpx.AsyncClient) -> None:
    service.records.written = Written(9, created=True, replayed=False)
    answer = await client.patch(URL, content=b"{}", headers={"content-type": "application/json; charset=utf-8"})

    assert (answer.status_code, answer.headers["etag"]) == (201, '"9"')


@pytest.mark.parametrize(
    ("limit", "length", "status"), [(None, 1000, 204), (None, 1001, 413), (5, 6, 413), (9**9, 1001, 413)]
)
async def test_the_smaller_limit_of_namespace_and_pod_holds(
    service: Service, limit: int | None, length: int, status: int
) -> None:
    client = service.serve(Namespace(name="demo", value_bytes=limit))

    assert (await client.put(URL, content=bytes(length))).status_code == status


async def test_a_body_is_cut_off_while_it_arrives(service: Service, client: httpx.AsyncClient) -> None:
    sent = 0

    async def long() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield bytes(300)

    answer = await client.put(URL, content=long())

    assert (problem(answer), answer.headers["connection"]) == ((413, "value-too-large"), "close")
    assert sent == 4
    assert service.records.asked == []


async def test_a_body_that_does_not_arrive_in_time_is_not_written(service: Service, client: httpx.AsyncClient) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b"begin"
        await asyncio.sleep(60)

    answer = await client.put(URL, content=stuck(), headers={"kv-deadline-ms": "20"})

    assert problem(answer) == (504, "deadline-exceeded")
    assert "nothing was done" in answer.json()["detail"]
    assert service.records.asked == []


async def test_requests_beyond_the_bound_are_refused_before_their_body_is_read(service: Service) -> None:
    admission = Admission(1, asyncio.get_running_loop().time)
    client = service.serve(admission=admission)

    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    with admission.of(Namespace(name="demo"), Priority.HIGH):
        assert problem(await client.put(URL, content=unread())) == (503, "overloaded")

"""Batches: an outcome for each operation, in order."""

import asyncio
from base64 import b64encode
from typing import Any

import httpx
import pytest
from kvhttp import NOW_US, Service, envelope, problem

from kvservice.core.conditions import Conditions
from kvservice.core.namespaces import Namespace
from kvservice.core.ports import Key
from kvservice.core.records import Found, Written
from kvservice.core.request import Context
from kvservice.errors import PreconditionFailed, StoreUnavailable
from kvservice.http import body

GET, WRITE = "/v1/kv/demo:batchGet", "/v1/kv/demo:batchWrite"


def base64(value: bytes) -> str:
    return b64encode(value).decode()


def put(id_: str, **more: Any) -> dict[str, Any]:
    return {"op": "put", "id": id_, "value": "", **more}


def slug(result: dict[str, Any]) -> str:
    assert result["problem"]["status"] == result["status"]
    return str(result["problem"]["type"]).rpartition("/")[2]


def fated(service: Service, monkeypatch: pytest.MonkeyPatch, **fates: Found | Written | Exception | None) -> None:
    """Gives each record a fate of its own, by id."""

    async def read(key: Key, context: Context) -> Any:
        fate = fates[key.id]
        if isinstance(fate, Exception):
            raise fate
        return fate

    async def write(key: Key, payload: bytes, content_type: str, context: Context) -> Any:
        return await read(key, context)

    monkeypatch.setattr(service.records, "read", read)
    monkeypatch.setattr(service.records, "write", write)


async def test_reads_are_answered_each_with_its_outcome_in_order(
    service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Found(envelope(b"\xff"), 700.5, 100.5, satisfied=False)
    fated(service, monkeypatch, a=there, b=None, c=StoreUnavailable("down"), d=there)
    keys = [{"id": "d", "item": "x"}, {"id": "c"}, {"id": "b"}, {"id": "a"}, {"id": "z" * 65}]
    results = (await client.post(GET, json={"keys": keys})).json()["results"]
    value = {"version": "7", "contentType": "text/plain", "value": "/w=="}
    about = {"ageS": 700, "staleS": 101, "sessionSatisfied": False}

    assert results[0] == {"id": "d", "item": "x", "status": 200, **value, **about}
    assert results[3] == {"id": "a", "status": 200, **value, **about}
    assert [(each["id"][0], each["status"], slug(each)) for each in (results[1], results[2], results[4])] == [
        ("c", 503, "store-unavailable"),
        ("b", 404, "record-not-found"),
        ("z", 422, "invalid-request"),
    ]


async def test_writes_are_answered_each_with_its_outcome_in_order(
    service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fated(
        service,
        monkeypatch,
        a=Written(8, created=True, replayed=False),
        b=Written(9, created=False, replayed=True),
        c=PreconditionFailed(5),
    )
    writes = [put("c"), put("b"), put("a"), {"op": "delete", "id": "e"}, put("f", value=base64(bytes(1001)))]
    results = (await client.post(WRITE, json={"writes": writes})).json()["results"]

    assert results[1:4] == [
        {"id": "b", "status": 204, "version": "9", "replayed": True},
        {"id": "a", "status": 201, "version": "8"},
        {"id": "e", "status": 204},
    ]
    assert (slug(results[0]), results[0]["problem"]["version"]) == ("precondition-failed", "5")
    assert slug(results[4]) == "value-too-large"


async def test_each_write_has_its_own_conditions_time_to_live_and_part_of_the_key(
    service: Service, client: httpx.AsyncClient
) -> None:
    writes = [
        put("a", value=base64(b"x"), contentType="text/plain", ttlS=5, ifNoneMatch="*"),
        {"op": "patch", "id": "b", "value": base64(b"{}"), "ifMatch": '"5"'},
        {"op": "delete", "id": "c", "item": "i"},
    ]
    await client.post(WRITE, json={"writes": writes}, headers={"idempotency-key": "K", "kv-ttl": "60"})
    contexts = service.records.contexts

    assert service.records.asked == [
        ("write", Key("demo", "a"), b"x", "text/plain"),
        ("patch", Key("demo", "b"), b"{}"),
        ("delete", Key("demo", "c", "i")),
    ]
    assert [context.idempotency_key for context in contexts] == ["K/0", "K/1", "K/2"]
    assert [context.ttl_s for context in contexts] == [5, 60, 60]
    assert [context.conditions for context in contexts] == [
        Conditions(None, "*"),
        Conditions('"5"', None),
        Conditions(),
    ]


async def test_a_batch_has_one_session(service: Service, client: httpx.AsyncClient) -> None:
    service.records.written = Written(NOW_US, created=False, replayed=False)
    answer = await client.post(WRITE, json={"writes": [put("a"), put("b")]})
    session = service.sessions.open(answer.headers["kv-session"])

    assert [session.highest(Key("demo", id_)) for id_ in "ab"] == [NOW_US, NOW_US]


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({"writes": []}, "at least 1"),
        ({"writes": [put(str(number)) for number in range(101)]}, "at most 100"),
        ({}, "writes: Field required"),
        ({"writes": [put("a"), {"op": "put", "id": "b"}]}, "writes.1.put.value: Field required"),
        ({"writes": [put("a", value="%")]}, "base64"),
        ({"writes": [put("a", value=7)]}, "base64"),
        ({"writes": [put("a", value="YQ")]}, "base64"),
        ({"writes": [{"op": "delete", "id": "a", "value": ""}]}, "writes.0.delete.value"),
        ({"writes": [{"op": "touch", "id": "a"}]}, "'put', 'patch', 'delete'"),
        ({"writes": [put("a", ttlS="5")]}, "ttlS"),
        ({"writes": [put("a", ttl=5)]}, "ttl"),
        ({"writes": [put("a"), put("b"), put("a")]}, "'a' is written 2 times"),
    ],
)
async def test_a_batch_of_another_shape_is_refused_as_a_whole(
    service: Service, client: httpx.AsyncClient, sent: Any, says: str
) -> None:
    answer = await client.post(WRITE, json=sent)

    assert problem(answer) == (422, "invalid-request")
    assert says in answer.json()["detail"]
    assert service.records.asked == []


@pytest.mark.parametrize("sent", [b"", b"{", b"[]", b"\xff", b'{"keys": [{"id": "\\ud800"}]}', b"[" * 100_000])
async def test_a_body_that_is_no_batch_is_refused(client: httpx.AsyncClient, sent: bytes) -> None:
    assert problem(await client.post(GET, content=sent)) == (422, "invalid-request")


@pytest.mark.parametrize("kind", ["a\r\nset-cookie: x", "", "x" * 256, "ÿ\u0100"])
async def test_a_content_type_that_could_not_be_given_back_fails_its_write(
    service: Service, client: httpx.AsyncClient, kind: str
) -> None:
    [result] = (await client.post(WRITE, json={"writes": [put("a", contentType=kind)]})).json()["results"]

    assert (result["status"], slug(result)) == (422, "invalid-request")
    assert service.records.asked == []


async def test_what_does_not_fit_into_the_answer_is_left_out_and_told(
    service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "JSON_BYTES", 1000)
    sizes = {"a": 600, "b": 600, "c": 400}
    fates = {id_: Found(envelope(bytes(size)), None, None, satisfied=True) for id_, size in sizes.items()}
    fated(service, monkeypatch, **fates)
    results = (await client.post(GET, json={"keys": [{"id": id_} for id_ in "abc"]})).json()["results"]

    assert [each["status"] for each in results] == [200, 413, 200]


async def test_a_body_beyond_the_limit_is_refused(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "JSON_BYTES", 50)

    assert problem(await client.post(GET, json={"keys": [{"id": "a" * 60}]})) == (413, "value-too-large")


async def test_a_slow_operation_is_told_and_does_not_hold_the_others(
    service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(key: Key, context: Context) -> None:
        if key.id == "slow":
            await asyncio.sleep(60)

    monkeypatch.setattr(service.records, "read", read)
    keys = [{"id": "a"}, {"id": "slow"}, {"id": "b"}]
    answer = await client.post(GET, json={"keys": keys}, headers={"kv-deadline-ms": "200"})

    assert [each["status"] for each in answer.json()["results"]] == [404, 504, 404]


@pytest.mark.parametrize("path", ["/v1/kv/demo%3AbatchGet", "/v1/kv/demo%3abatchGet", "/v1/kv/%64emo:batchGet"])
async def test_the_address_may_be_encoded(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.post(path, json={"keys": [{"id": "a"}]})).status_code == 200


async def test_a_namespace_that_is_not_configured_is_unknown(service: Service) -> None:
    answer = await service.serve(Namespace(name="mine")).post(GET, json={"keys": [{"id": "a"}]})

    assert problem(answer) == (404, "unknown-namespace")

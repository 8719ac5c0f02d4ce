"""What a request's headers become, which of them are refused, and what an answer's headers say."""

from typing import Any

import httpx
import pytest
from kvhttp import NOW_US, Service, envelope, problem

from kvservice.core.conditions import Conditions
from kvservice.core.ports import Key
from kvservice.core.records import Found, Written
from kvservice.core.request import Consistency, Priority

URL = "/v1/kv/demo/a"


def found(**more: Any) -> Found:
    return Found(**{"envelope": envelope(), "age_s": None, "stale_s": None, "satisfied": True, **more})


async def test_a_plain_request_asks_for_the_usual(service: Service, client: httpx.AsyncClient) -> None:
    await client.get(URL)
    [context] = service.records.contexts

    assert (context.consistency, context.priority) == (Consistency.SESSION, Priority.NORMAL)
    assert (context.idempotency_key, context.ttl_s, context.session.is_carried) == (None, None, False)
    assert context.conditions == Conditions()


async def test_each_header_is_passed_on(service: Service, client: httpx.AsyncClient) -> None:
    headers = {
        "KV-TTL": "60",
        "KV-Session": "",
        "KV-Consistency": "quorum",
        "KV-Priority": "low",
        "Idempotency-Key": "k/1",
        "If-Match": '"5"',
        "If-None-Match": "*",
    }
    await client.put(URL, content=b"x", headers=headers)
    [context] = service.records.contexts

    assert (context.consistency, context.priority) == (Consistency.QUORUM, Priority.LOW)
    assert (context.idempotency_key, context.ttl_s, context.session.is_carried) == ("k/1", 60, True)
    assert context.conditions == Conditions('"5"', "*")


@pytest.mark.parametrize(("sent", "seconds"), [({"kv-deadline-ms": "2500"}, 2.5), ({}, 10.0)])
async def test_the_deadline_is_the_clients_or_the_settings(
    service: Service, client: httpx.AsyncClient, sent: dict[str, str], seconds: float
) -> None:
    await client.get(URL, headers=sent)

    assert seconds - 1 < service.records.contexts[0].deadline.left_s() <= seconds


async def test_conditions_in_several_lines_are_one_list(service: Service, client: httpx.AsyncClient) -> None:
    await client.get(URL, headers=[("if-none-match", '"1"'), ("if-none-match", '"2"')])

    assert service.records.contexts[0].conditions.if_none_match == '"1", "2"'


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("kv-ttl", "-1", "whole number from 0"),
        ("kv-ttl", "1.5", "whole number"),
        ("kv-ttl", "9" * 5000, "whole number"),
        ("kv-ttl", "", "whole number"),
        ("kv-deadline-ms", "0", "from 1 to 60000"),
        ("kv-deadline-ms", "60001", "from 1 to 60000"),
        ("kv-consistency", "strong", "one, session, quorum"),
        ("kv-priority", "urgent", "low, normal, high"),
        ("idempotency-key", "a b", "1 to 255 visible"),
        ("idempotency-key", "", "1 to 255 visible"),
        ("idempotency-key", "x" * 256, "256 characters"),
    ],
)
async def test_a_malformed_header_is_refused_in_words(
    service: Service, client: httpx.AsyncClient, name: str, value: str, says: str
) -> None:
    answer = await client.put(URL, content=b"x", headers={name: value})

    assert problem(answer) == (422, "invalid-request")
    assert name in answer.json()["detail"]
    assert says in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 200
    assert service.records.asked == []


@pytest.mark.parametrize("name", ["kv-ttl", "kv-deadline-ms", "idempotency-key", "content-type", "authorization"])
async def test_a_header_that_may_be_sent_once_is_refused_when_sent_twice(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.put(URL, content=b"x", headers=[(name, "1"), (name, "1")])

    assert problem(answer) == (422, "invalid-request")
    assert f"{name} was sent 2 times" in answer.json()["detail"]


async def test_a_session_that_is_not_ours_is_refused(client: httpx.AsyncClient) -> None:
    assert problem(await client.get(URL, headers={"kv-session": "forged"})) == (422, "invalid-session")


@pytest.mark.parametrize("sent", [{"content-encoding": "gzip"}, {"content-range": "bytes 0-1/2"}])
async def test_what_is_not_kept_with_a_value_is_refused(client: httpx.AsyncClient, sent: dict[str, str]) -> None:
    assert problem(await client.put(URL, content=b"x", headers=sent)) == (422, "invalid-request")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b'image/x; q="\xe9"', 'image/x; q="\xe9"'),
        (b"", "application/octet-stream"),
        (b"x" * 255, "x" * 255),
        (b"x" * 256, None),
        (b"a\rb", None),
        (b"a\x00b", None),
    ],
)
async def test_the_content_type_is_kept_if_it_can_be_given_back(
    service: Service, client: httpx.AsyncClient, sent: bytes, kept: str | None
) -> None:
    answer = await client.put(URL, content=b"x", headers={b"content-type": sent})

    assert (answer.status_code == 422) is (kept is None)
    assert service.records.asked == ([("write", Key("demo", "a"), b"x", kept)] if kept else [])


@pytest.mark.parametrize(
    ("about", "headers"),
    [
        ({}, {}),
        ({"age_s": 3.9}, {"age": "3"}),
        ({"age_s": 700.0, "stale_s": 0.2}, {"age": "700", "kv-stale": "1"}),
        ({"envelope": envelope(expires_us=NOW_US + 1_500_000)}, {"kv-ttl": "2"}),
    ],
)
async def test_an_answer_says_how_old_it_is_and_how_long_it_lasts(
    service: Service, client: httpx.AsyncClient, about: dict[str, Any], headers: dict[str, str]
) -> None:
    service.records.found = found(**about)
    answer = await client.get(URL)

    assert (answer.status_code, answer.headers["etag"], answer.headers["content-type"]) == (200, '"7"', "text/plain")
    assert {name: answer.headers[name] for name in ("age", "kv-stale", "kv-ttl") if name in answer.headers} == headers


async def test_a_known_version_is_not_sent_again(service: Service, client: httpx.AsyncClient) -> None:
    service.records.found = found(age_s=3.0)
    answer = await client.get(URL, headers={"if-none-match": 'W/"7"', "kv-session": ""})

    assert (answer.status_code, answer.content) == (304, b"")
    assert (answer.headers["etag"], answer.headers["age"]) == ('"7"', "3")
    assert "kv-session" in answer.headers
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("version", [7, None])
async def test_a_read_on_a_condition_that_does_not_hold_answers_412(
    service: Service, client: httpx.AsyncClient, version: int | None
) -> None:
    service.records.found = None if version is None else found()
    answer = await client.get(URL, headers={"if-match": '"6"'})

    assert problem(answer) == (412, "precondition-failed")
    assert answer.json()["version"] == (None if version is None else "7")


async def test_a_read_gives_a_session_to_whom_asks_for_one(service: Service, client: httpx.AsyncClient) -> None:
    service.records.found = found(envelope=envelope(version=NOW_US))

    assert "kv-session" not in (await client.get(URL)).headers
    token = (await client.get(URL, headers={"kv-session": ""})).headers["kv-session"]
    assert service.sessions.open(token).highest(Key("demo", "a")) == NOW_US


async def test_a_record_that_is_missing_is_part_of_the_session_too(client: httpx.AsyncClient) -> None:
    answer = await client.get(URL, headers={"kv-session": ""})

    assert problem(answer) == (404, "record-not-found")
    assert "kv-session" in answer.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_every_write_gives_a_session(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, URL, content=b"{}", headers={"content-type": "application/json"})

    assert (answer.status_code, "kv-session" in answer.headers) == (204, True)


@pytest.mark.parametrize("exists", [True, False])
async def test_an_answer_behind_the_session_says_so(
    service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    async def read(key: Key, context: Any) -> Found | None:
        context.session.is_satisfied = False
        return found(satisfied=False) if exists else None

    monkeypatch.setattr(service.records, "read", read)

    assert (await client.get(URL, headers={"kv-session": ""})).headers["kv-session-satisfied"] == "no"


@pytest.mark.parametrize("replayed", [True, False])
async def test_a_write_that_was_done_before_is_told(
    service: Service, client: httpx.AsyncClient, replayed: bool
) -> None:
    service.records.written = Written(9, created=True, replayed=replayed)
    answer = await client.put(URL, content=b"x")

    assert (answer.status_code, answer.headers["etag"]) == (201, '"9"')
    assert answer.headers.get("idempotency-replayed") == ("true" if replayed else None)

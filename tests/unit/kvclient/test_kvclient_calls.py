"""What is sent for a call, and what an answer is to its caller."""

import asyncio
import json
from base64 import b64encode
from typing import Any

import httpx
import pytest

from kvclient import (
    AsyncClient,
    Delete,
    Forbidden,
    Item,
    Key,
    Patch,
    PreconditionFailed,
    Put,
    Record,
    Rejected,
    Unauthenticated,
    Unavailable,
    Written,
)


def headers_of(request: httpx.Request) -> dict[str, str]:
    """Those that we add."""
    ours = ("kv-", "if-", "idempotency", "content-type", "authorization", "host")
    return {name: value for name, value in request.headers.items() if name.startswith(ours)}


def test_a_read_gives_all_that_the_answer_says(world: Any) -> None:
    about = {"age": "3", "kv_stale": "2", "kv_ttl": "60", "kv_session_satisfied": "no"}
    world.regions["eu"] = world.in_turn(world.found(b"world", 7, **about))

    assert world.tell(lambda kv: kv.get("demo", "hello")) == Record(
        content_type="text/plain",
        version=7,
        region="eu",
        age_s=3,
        stale_s=2,
        ttl_s=60,
        session_satisfied=False,
        value=b"world",
    )


def test_options_of_a_read_travel_as_headers(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.found())
    world.tell(
        lambda kv: kv.get("demo", "hello", "an item", consistency="quorum", priority="high"),
        token="t",
        host="kv.example",
    )
    (seen,) = world.seen

    assert seen.request.url.raw_path == b"/v1/kv/demo/hello/items/an%20item"
    assert headers_of(seen.request) == {
        "host": "kv.example",
        "authorization": "Bearer t",
        "kv-consistency": "quorum",
        "kv-priority": "high",
        "kv-deadline-ms": "4950",  # half of the default, less the way back
    }


@pytest.mark.parametrize(
    ("id_", "path"),
    [("a/b", b"a%2Fb"), ("..", b"%2E%2E"), (".", b"%2E"), ("%2F", b"%252F"), ("ä?#", b"%C3%A4%3F%23"), ("a.b", b"a.b")],
)
def test_any_id_is_one_segment_of_the_path(world: Any, id_: str, path: bytes) -> None:
    world.regions["eu"] = world.in_turn(world.found())
    world.tell(lambda kv: kv.get("demo", id_))

    assert world.seen[0].request.url.raw_path == b"/v1/kv/demo/" + path


def test_a_token_may_be_given_anew_for_each_request(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.found())
    tokens = iter(["one", "two"])

    async def story(kv: AsyncClient) -> None:
        await kv.get("demo", "a")
        await kv.get("demo", "a")

    world.tell(story, token=lambda: next(tokens))

    assert world.sent("authorization") == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize("method", ["get", "head"])
def test_a_record_that_is_not_there_is_none(world: Any, method: str) -> None:
    world.regions["eu"] = world.in_turn(world.problem(404, "record-not-found"))

    assert world.tell(lambda kv: getattr(kv, method)("demo", "hello")) is None


def test_a_namespace_that_is_not_there_is_an_error(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.problem(404, "unknown-namespace"))

    with pytest.raises(Rejected, match="404 unknown-namespace: because of unknown-namespace"):
        world.tell(lambda kv: kv.get("demo", "hello"))


@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_of_something_else_is_no_record_and_no_absence(world: Any, status: int) -> None:
    world.regions["eu"] = world.in_turn(httpx.Response(status, text="Welcome to nginx!"))

    for call in ("get", "head"):
        with pytest.raises(Rejected, match="no answer of the service"):
            world.tell(lambda kv, call=call: getattr(kv, call)("demo", "hello"))


def test_a_write_is_only_done_if_the_service_says_so(world: Any) -> None:
    world.regions["eu"] = world.in_turn(httpx.Response(200, text="Welcome to nginx!"))

    with pytest.raises(Rejected, match="no answer of the service"):
        world.tell(lambda kv: kv.put("demo", "hello", b""))


def test_a_known_record_is_not_sent_again(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.found(age="1"), httpx.Response(304, headers={"age": "5"}))

    async def story(kv: AsyncClient) -> tuple[Record | None, Record | None]:
        first = await kv.get("demo", "hello")
        return first, await kv.get("demo", "hello", known=first)

    first, again = world.tell(story)

    assert world.sent("if-none-match") == [None, '"7"']
    assert (again.value, again.version, again.age_s) == (first.value, first.version, 5)


def test_options_of_a_write_travel_as_headers(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.written(8, 201, idempotency_replayed="true"))
    written = world.tell(
        lambda kv: kv.put(
            "demo", "hello", b"v", content_type='x; q="é"', ttl_s=0, if_match=7, priority="low", idempotency_key="k"
        )
    )
    (seen,) = world.seen
    seen.request.headers.encoding = "latin-1"

    assert written == Written(version=8, created=True, replayed=True)
    assert (seen.request.method, seen.request.content) == ("PUT", b"v")
    assert headers_of(seen.request) == {
        "host": "eu:8080",
        "content-type": 'x; q="é"',
        "kv-ttl": "0",
        "if-match": '"7"',
        "kv-priority": "low",
        "idempotency-key": "k",
        "kv-deadline-ms": "4950",
    }


def test_create_only_asks_for_no_record(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.written())
    world.tell(lambda kv: kv.put("demo", "hello", b"", create_only=True))

    assert world.sent("if-none-match") == ["*"]


def test_a_patch_is_a_merge_patch(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.written())
    world.tell(lambda kv: kv.patch("demo", "hello", {"a": None}))
    (seen,) = world.seen

    assert (seen.request.method, seen.request.content) == ("PATCH", b'{"a":null}')
    assert seen.request.headers["content-type"] == "application/merge-patch+json"


@pytest.mark.parametrize(("present", "version"), [("9", 9), (None, None)])
def test_a_failed_condition_tells_the_present_version(world: Any, present: str | None, version: int | None) -> None:
    world.regions["eu"] = world.in_turn(world.problem(412, "precondition-failed", version=present))

    with pytest.raises(PreconditionFailed) as caught:
        world.tell(lambda kv: kv.put("demo", "hello", b"", if_match=7))
    assert caught.value.present_version == version


@pytest.mark.parametrize(
    ("status", "slug", "error"),
    [(401, "unauthenticated", Unauthenticated), (403, "forbidden", Forbidden), (409, "wrong-write-mode", Rejected)],
)
def test_a_refusal_is_an_error_of_its_own_and_final(world: Any, status: int, slug: str, error: type[Rejected]) -> None:
    world.regions["eu"] = world.in_turn(world.problem(status, slug))

    with pytest.raises(error) as caught:
        world.tell(lambda kv: kv.put("demo", "hello", b""))
    assert (caught.value.status, caught.value.problem, caught.value.detail) == (status, slug, f"because of {slug}")
    assert len(world.seen) == 1


def test_items_come_page_after_page(world: Any) -> None:
    def shown(name: str) -> dict[str, Any]:
        return {"item": name, "version": "7", "contentType": "text/plain", "value": b64encode(b"v").decode()}

    pages = [
        httpx.Response(200, json={"items": [shown("a"), {**shown("b"), "ttlS": 60}], "next": "t&k"}),
        httpx.Response(200, json={"items": [], "next": "more"}),
        httpx.Response(200, json={"items": [shown("c")], "next": None}),
    ]
    world.regions["eu"] = world.in_turn(*pages)

    async def story(kv: AsyncClient) -> list[Item]:
        return [item async for item in kv.items("demo", "hello", prefix="ä", after="a b", page_size=2)]

    listed = world.tell(story)

    assert [item.item for item in listed] == ["a", "b", "c"]
    assert listed[1] == Item("b", b"v", "text/plain", 7, 60)
    assert [seen.request.url.query.decode() for seen in world.seen] == [
        "prefix=%C3%A4&after=a%20b&limit=2",
        "page=t%26k&limit=2",
        "page=more&limit=2",
    ]


def entries(request: httpx.Request, name: str) -> list[dict[str, Any]]:
    body: dict[str, list[dict[str, Any]]] = json.loads(request.content)
    return body[name]


def test_many_reads_go_in_batches_and_come_back_in_order(world: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        value = {"version": "7", "contentType": "text/plain"}
        asked = entries(request, "keys")
        return httpx.Response(
            200,
            json={"results": [{"status": 200, "value": b64encode(k["id"].encode()).decode(), **value} for k in asked]},
        )

    world.regions["eu"] = answer
    ids = [str(number) for number in range(250)]
    records = world.tell(lambda kv: kv.get_many("demo", ids))

    assert [record.value.decode() for record in records] == ids
    assert [len(entries(seen.request, "keys")) for seen in world.seen] == [100, 100, 50]
    assert world.seen[0].request.url.raw_path == b"/v1/kv/demo:batchGet"


def test_each_key_of_a_batch_has_an_outcome_of_its_own(world: Any) -> None:
    def problem(status: int, slug: str) -> dict[str, Any]:
        return {"status": status, "problem": world.problem(status, slug).json()}

    found = {"status": 200, "version": "7", "contentType": "x/y", "value": "dg==", "ageS": 3, "sessionSatisfied": False}
    results = [found, problem(404, "record-not-found"), problem(503, "store-busy"), problem(422, "invalid-request")]
    world.regions["eu"] = world.in_turn(httpx.Response(200, json={"results": results}))
    record, absent, busy, wrong = world.tell(lambda kv: kv.get_many("demo", ["a", Key("b", "item"), "c", "d"]))

    assert (record.value, record.age_s, record.session_satisfied, absent) == (b"v", 3, False, None)
    assert isinstance(busy, Unavailable)
    assert isinstance(wrong, Rejected)
    assert entries(world.seen[0].request, "keys")[:2] == [{"id": "a"}, {"id": "b", "item": "item"}]


def test_a_value_that_had_no_room_in_the_batch_is_read_alone(world: Any) -> None:
    too_large = {"status": 413, "problem": world.problem(413, "value-too-large").json()}
    world.regions["eu"] = world.in_turn(httpx.Response(200, json={"results": [too_large]}), world.found(b"large"))
    (record,) = world.tell(lambda kv: kv.get_many("demo", [Key("a", "b")]))

    assert record.value == b"large"
    assert (world.seen[1].request.method, world.seen[1].request.url.path) == ("GET", "/v1/kv/demo/a/items/b")


def test_a_batch_that_fails_is_the_error_of_its_keys_only(world: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        asked = entries(request, "keys")
        if asked[0]["id"] == "100":
            return httpx.Response(403, text="no")
        return httpx.Response(200, json={"results": [{"status": 404, "problem": not_found} for _ in asked]})

    not_found = world.problem(404, "record-not-found").json()
    world.regions["eu"] = answer
    results = world.tell(lambda kv: kv.get_many("demo", map(str, range(201))))

    assert [number for number, result in enumerate(results) if isinstance(result, Forbidden)] == list(range(100, 200))
    assert results[:100] == [None] * 100
    assert results[200:] == [None]


def test_writes_of_a_batch_say_what_each_is(world: Any) -> None:
    results = [{"status": 201, "version": "7"}, {"status": 204, "replayed": True}, {"status": 204, "version": "9"}]
    world.regions["eu"] = world.in_turn(httpx.Response(200, json={"results": results}))
    writes = [
        Put("a", b"v", content_type="x/y", ttl_s=5, create_only=True),
        Delete("b", if_match=7),
        Patch("c", {"d": 1}, item="e"),
    ]
    written = world.tell(lambda kv: kv.write_many("demo", writes))

    assert entries(world.seen[0].request, "writes") == [
        {"op": "put", "id": "a", "value": "dg==", "contentType": "x/y", "ttlS": 5, "ifNoneMatch": "*"},
        {"op": "delete", "id": "b", "ifMatch": '"7"'},
        {"op": "patch", "id": "c", "item": "e", "value": b64encode(b'{"d":1}').decode()},
    ]
    assert written == [Written(7, True, False), Written(None, False, True), Written(9, False, False)]


def test_a_batch_stays_below_the_bytes_that_the_service_takes(world: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"results": [{"status": 204} for _ in entries(request, "writes")]})

    world.regions["eu"] = answer
    written = world.tell(lambda kv: kv.write_many("demo", [Put(str(n), bytes(2**20)) for n in range(20)]))

    assert len(written) == 20
    assert [len(entries(seen.request, "writes")) for seen in world.seen] == [5, 5, 5, 5]
    assert max(len(seen.request.content) for seen in world.seen) <= 8 * 2**20


def test_a_record_may_be_in_a_batch_of_writes_once(world: Any) -> None:
    world.regions["eu"] = world.in_turn(world.written())

    with pytest.raises(ValueError, match=r"Key\(id='a', item='b'\) is written twice"):
        world.tell(lambda kv: kv.write_many("demo", [Delete("a"), Put("a", b"", item="b"), Delete("a", item="b")]))
    assert world.seen == []


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda kv: kv.get("demo", ""), "the id is empty"),
        (lambda kv: kv.get("", "a"), "the namespace is empty"),
        (lambda kv: kv.get("demo", "a", deadline_s=0), "deadline_s is 0, but must be"),
        (lambda kv: kv.put("demo", "a", b"", if_match=1, create_only=True), "cannot both hold"),
        (lambda kv: kv.put("demo", "a", "text"), "a value is bytes, not str"),
        (lambda kv: kv.get("demo", "a", dedline_s=1), "no such option: dedline_s"),
    ],
)
def test_misuse_is_told_before_anything_is_sent(world: Any, call: Any, says: str) -> None:
    world.regions["eu"] = world.in_turn(world.found())

    with pytest.raises((ValueError, TypeError), match=says):
        world.tell(call)
    assert world.seen == []


@pytest.mark.parametrize(
    ("regions", "options", "says"),
    [
        ({}, {}, "got none"),
        ({"eu": "eu:8080"}, {}, r"got \['eu:8080'\]"),
        ({"eu": "http://eu"}, {"home": "us"}, "home is 'us', but the regions are eu"),
        ("http://eu", {"deadline_s": float("nan")}, "deadline_s is nan"),
    ],
)
def test_a_wrong_client_is_not_made(regions: Any, options: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        AsyncClient(regions, **options)


def test_a_certificate_file_that_is_not_there_is_told_at_once(tmp_path: Any) -> None:
    with pytest.raises(FileNotFoundError):
        AsyncClient("https://eu", verify=tmp_path / "ca.pem")


def test_records_read_as_json() -> None:
    record = Record(content_type="application/json", version=1, region="eu", value=b'{"a": 1}')

    assert record.json() == {"a": 1}


def test_a_closed_client_says_so() -> None:
    async def story() -> None:
        kv = AsyncClient("http://127.0.0.1:1")
        await kv.aclose()
        with pytest.raises(Exception, match="the client is closed; make a new one"):
            await kv.get("demo", "a")

    asyncio.run(story())

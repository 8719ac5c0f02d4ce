"""What every request passes, around use cases that fail or are slow."""

import logging

import httpx
import pytest
from kvhttp import Service, problem

from kvservice import errors
from kvservice.core.request import Context
from kvservice.http.app import route
from kvservice.http.problems import KINDS

URL = "/v1/kv/demo/a"


async def test_an_unexpected_error_is_a_problem_without_a_trace_which_goes_to_the_log(
    service: Service, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    service.records.error = ZeroDivisionError("secret")
    with caplog.at_level(logging.ERROR):
        answer = await client.get(URL)

    assert problem(answer) == (500, "internal")
    assert "secret" not in answer.text
    assert "ZeroDivisionError: secret" in caplog.text
    assert 'kv_http_requests_total{code="500",method="GET",route="record"} 1.0' in service.telemetry.page().decode()


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (errors.InvalidRequest("why"), 422, "invalid-request"),
        (errors.InvalidSession("why"), 422, "invalid-session"),
        (errors.IdempotencyMismatch("why"), 422, "idempotency-mismatch"),
        (errors.WrongWriteMode("why"), 409, "wrong-write-mode"),
        (errors.NotPatchable("why"), 409, "not-patchable"),
        (errors.SessionNotSatisfied("why"), 409, "session-not-satisfied"),
        (errors.DeadlineExceeded("why"), 504, "deadline-exceeded"),
        (errors.OutcomeUnknown("why"), 504, "outcome-unknown"),
    ],
)
async def test_an_error_of_the_use_case_is_its_problem(
    service: Service, client: httpx.AsyncClient, error: Exception, status: int, slug: str
) -> None:
    service.records.error = error
    answer = await client.put(URL, content=b"x")

    assert problem(answer) == (status, slug)
    assert answer.json()["detail"] == "why"


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (errors.StoreUnavailable, "store-unavailable"),
        (errors.StoreBusy, "store-busy"),
        (errors.ClockSkew, "clock-skew"),
        (errors.Overloaded, "overloaded"),
        (errors.Unavailable, "unavailable"),
    ],
)
async def test_what_passes_is_answered_503_and_when_to_come_again(
    service: Service, client: httpx.AsyncClient, error: type[Exception], slug: str
) -> None:
    service.records.error = error("why")
    answer = await client.get(URL)

    assert problem(answer) == (503, slug)
    assert answer.headers["retry-after"] == "1"


async def test_a_limited_client_is_told_when_there_is_room_again(service: Service, client: httpx.AsyncClient) -> None:
    service.records.error = errors.RateLimited("why", 1.2)
    answer = await client.get(URL)

    assert (problem(answer), answer.headers["retry-after"]) == ((429, "rate-limited"), "2")


async def test_a_write_in_the_wrong_region_is_told_the_right_one(service: Service, client: httpx.AsyncClient) -> None:
    service.records.error = errors.NotHome("demo", "eu")
    answer = await client.delete(URL)

    assert (problem(answer), answer.json()["home"]) == ((421, "not-home"), "eu")


@pytest.mark.parametrize(("present", "tag", "member"), [(7, '"7"', "7"), (None, None, None)])
async def test_a_condition_that_does_not_hold_is_told_the_present_version(
    service: Service, client: httpx.AsyncClient, present: int | None, tag: str | None, member: str | None
) -> None:
    service.records.error = errors.PreconditionFailed(present)
    answer = await client.put(URL, content=b"x")

    assert problem(answer) == (412, "precondition-failed")
    assert (answer.headers.get("etag"), answer.json()["version"]) == (tag, member)


async def test_an_error_that_is_no_clients_business_is_internal(service: Service, client: httpx.AsyncClient) -> None:
    service.records.error = errors.EnvelopeError("3 bytes")

    assert problem(await client.get(URL)) == (500, "internal")


def test_every_error_that_a_request_can_meet_has_a_problem() -> None:
    inward = {"KvError", "SettingsError", "StartError", "MigrationError", "CacheUnavailable"}
    mine = {name for name, each in vars(errors).items() if isinstance(each, type)} - inward - {"EnvelopeError"}
    slugs = {"".join(part.title() for part in kind.slug.split("-")) for kind in KINDS}

    assert mine <= slugs


async def test_a_read_that_takes_too_long_is_ended(service: Service, client: httpx.AsyncClient) -> None:
    service.records.slow_s = 60
    answer = await client.get(URL, headers={"kv-deadline-ms": "20"})

    assert problem(answer) == (504, "deadline-exceeded")


async def test_a_write_that_takes_too_long_says_that_its_outcome_is_unknown_and_what_to_do(service: Service) -> None:
    service.records.slow_s = 60
    answer = await service.serve(deadline_s=0.02).put(URL, content=b"x")

    assert problem(answer) == (504, "deadline-exceeded")
    assert "unknown" in answer.json()["detail"]
    assert "same Idempotency-Key" in answer.json()["detail"]


async def test_the_time_that_a_read_takes_is_in_the_histogram(
    service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo's slow release wraps `Records.read` from outside; its latency must be seen."""
    now_s = 0.0

    async def slow(key: object, context: Context) -> None:
        nonlocal now_s
        now_s += 0.7

    monkeypatch.setattr("kvservice.http.app.perf_counter", lambda: now_s)
    monkeypatch.setattr(service.records, "read", slow)
    await client.get(URL)

    page = service.telemetry.page().decode()
    assert 'kv_http_request_duration_seconds_sum{method="GET",route="record"} 0.7' in page
    assert 'kv_http_request_duration_seconds_bucket{le="0.5",method="GET",route="record"} 0.0' in page


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/kv/demo/a", "record"),
        ("/v1/kv/demo/a%2Fitems", "record"),
        ("/v1/kv/demo/a/items/b", "record"),
        ("/v1/kv/demo/items", "record"),
        ("/v1/kv/demo/a/items", "items"),
        ("/v1/kv/demo:batchGet", "batch"),
        ("/v1/kv/demo%3AbatchWrite", "batch"),
        ("/v1/kv/demo:batchGet/a", "record"),
        ("/v1/changes", "changes"),
        ("/openapi.json", "other"),
        ("/", "other"),
    ],
)
def test_requests_are_counted_by_kind_of_address(path: str, kind: str) -> None:
    assert route(path.encode()) == kind


async def test_a_pod_that_drains_asks_for_a_new_connection(service: Service, client: httpx.AsyncClient) -> None:
    service.is_draining = True

    assert (await client.get(URL)).headers["connection"] == "close"

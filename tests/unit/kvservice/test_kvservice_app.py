"""What every request passes, around records that fail or are slow."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from kvservice.core.records import Records
from kvservice.core.suspects import Suspects
from kvservice.errors import ClockSkew, StoreBusy, StoreUnavailable
from kvservice.http.app import Outermost, create_app
from kvservice.http.records import Limits
from kvservice.telemetry import Telemetry

URL = "/v1/kv/demo/a"


class Nothing:
    """A store, a cache and a clock that are never asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(edges_s=(), build="b", version="v", region="r", revision="s")


@pytest.fixture
async def client(telemetry: Telemetry) -> AsyncIterator[httpx.AsyncClient]:
    nothing = Nothing()
    suspects = Suspects(nothing, nothing, lambda: None)
    records = Records(store=nothing, cache=nothing, clock=nothing, suspects=suspects, region="r")
    app = Outermost(create_app(records, Limits(100, 100), "v"), telemetry, lambda: False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pod") as client:
        yield client


def failing(error: Exception) -> Callable[..., Awaitable[None]]:
    async def read(*_: object) -> None:
        raise error

    return read


async def test_an_unexpected_error_is_a_problem_without_a_trace_which_goes_to_the_log(
    client: httpx.AsyncClient, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Records, "read", failing(ZeroDivisionError("secret")))
    with caplog.at_level(logging.ERROR):
        answer = await client.get(URL)

    assert answer.status_code == 500
    assert answer.json()["type"].endswith("/internal")
    assert "secret" not in answer.text
    assert "ZeroDivisionError: secret" in caplog.text
    assert 'kv_http_requests_total{code="500",method="GET",route="record"} 1.0' in telemetry.page().decode()


@pytest.mark.parametrize(
    ("error", "slug"), [(StoreUnavailable, "store-unavailable"), (StoreBusy, "store-busy"), (ClockSkew, "clock-skew")]
)
async def test_what_passes_is_answered_503_and_when_to_come_again(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, error: type[Exception], slug: str
) -> None:
    monkeypatch.setattr(Records, "read", failing(error("why")))
    answer = await client.get(URL)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"].endswith("/" + slug)
    assert answer.json()["detail"] == "why"


async def test_the_time_that_a_read_takes_is_in_the_histogram(
    client: httpx.AsyncClient, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo's slow release wraps `Records.read` from outside; its latency must be seen."""
    now_s = 0.0

    async def slow(*_: object) -> None:
        nonlocal now_s
        now_s += 0.7

    monkeypatch.setattr("kvservice.http.app.perf_counter", lambda: now_s)
    monkeypatch.setattr(Records, "read", slow)
    await client.get(URL)

    page = telemetry.page().decode()
    assert 'kv_http_request_duration_seconds_sum{method="GET",route="record"} 0.7' in page
    assert 'kv_http_request_duration_seconds_bucket{le="0.5",method="GET",route="record"} 0.0' in page

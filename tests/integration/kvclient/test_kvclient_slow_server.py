"""Hedging against a real server that is slow now and then."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kvclient import AsyncClient, OutcomeUnknown

AT_ONCE = 8


class SlowServer:
    """Keeps a write once for each Idempotency-Key, as the service does; one in twenty requests takes long."""

    def __init__(self) -> None:
        self.url = ""
        self.requests = 0
        self.writes: Counter[str] = Counter()  # by key: how often it arrived
        self.slow_s, self.share = 0.2, 0.05
        self._random = Random(7)

    async def record(self, request: Request) -> Response:
        self.requests += 1
        await request.body()
        key = request.headers.get("idempotency-key")
        if key is not None:
            self.writes[key] += 1
        if self._random.random() < self.share:
            await asyncio.sleep(self.slow_s)
        version = str(self.writes.total() if key is None else len(self.writes))
        return Response(b"v", 200 if key is None else 204, {"etag": f'"{version}"'})


@pytest.fixture
async def slow_server() -> AsyncIterator[SlowServer]:
    slow = SlowServer()
    app = Starlette(routes=[Route("/v1/kv/{ns}/{id}", slow.record, methods=["GET", "PUT"])])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does it for sockets of its own only
        slow.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
        serving = asyncio.create_task(server.serve([listener]))
        yield slow
        server.should_exit = True
        await serving


@pytest.mark.counted
async def test_hedges_are_few_and_a_hedged_write_is_one_write(slow_server: SlowServer, counted: Any) -> None:
    calls = counted(short=1500, full=20_000)
    async with AsyncClient(slow_server.url) as kv:

        async def write(first: int) -> None:
            for number in range(first, calls, AT_ONCE):
                await kv.put("demo", str(number), b"v")

        await asyncio.gather(*(write(first) for first in range(AT_ONCE)))
    hedges = slow_server.requests - calls

    assert len(slow_server.writes) == calls
    assert 0 < hedges <= 0.02 * calls
    counted.tell(f"{calls} writes, {hedges} hedged ({hedges / calls:.2%}), {len(slow_server.writes)} written")


async def test_no_connection_is_left_behind_by_the_copies_that_lost(slow_server: SlowServer) -> None:
    async with AsyncClient(slow_server.url, max_connections=4) as kv:
        for number in range(400):
            await kv.get("demo", str(number))

    assert slow_server.requests > 400


async def test_a_server_that_never_answers_costs_the_deadline_and_no_more(slow_server: SlowServer) -> None:
    slow_server.slow_s, slow_server.share = 2, 1
    async with AsyncClient(slow_server.url) as kv:
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(kv.put("demo", "a", b"v", deadline_s=0.3), 30)

    assert len(slow_server.writes) == 1

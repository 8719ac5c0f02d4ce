"""`kvctl load` against a small server on loopback that misbehaves when told to."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from random import Random

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kvctl.errors import TargetError
from kvctl.load.client import Load, Target
from kvctl.load.laws import Arrivals
from kvctl.load.report import CONNECTION, LOST, TIMEOUT, WRONG, Tally, summary
from kvctl.load.schedule import Plan

Misbehaviour = Callable[[web.Request], Awaitable[web.StreamResponse | None]]

SHORT = Plan(rate=200, duration_s=0.5, reads=0.8, keys=5, timeout_s=30)
IMPATIENT = replace(SHORT, timeout_s=0.2)


class Server:
    """Keeps what is put. `answer`, when set, is asked first and may return a response of its own."""

    url: str

    def __init__(self) -> None:
        self.records, self.hosts = dict[str, bytes](), set[str]()
        self.answer: Misbehaviour | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.hosts.add(request.host)
        if self.answer and (response := await self.answer(request)):
            return response
        if request.method == "PUT":
            self.records[request.path] = await request.read()
            return web.Response(status=204)
        return web.Response(body=self.records[request.path])


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    kept = Server()
    application = web.Application()
    application.router.add_route("*", "/v1/kv/kvctl-load/{id}", kept.handle)
    async with TestServer(application) as running:
        kept.url = str(running.make_url("")).rstrip("/")
        yield kept


async def sent(server: Server, plan: Plan = SHORT, misbehave: Misbehaviour | None = None) -> Tally:
    """The tally after a whole load during which the server misbehaves."""
    async with Load([Target("west", server.url, "demo.default.kv")], plan, run="t", random=Random(3)) as load:
        await load.prepare()
        server.answer = misbehave
        await asyncio.wait_for(load.run(), 10)
        return load.tallies["west"]


async def test_a_good_server_gets_every_request_and_no_error(server: Server) -> None:
    tally = await sent(server)
    assert tally.done == tally.sent > 50
    assert tally.reads.count > tally.writes.count > 0
    assert (tally.failed, tally.dropped) == (0, 0)


async def test_requests_carry_the_clusters_host(server: Server) -> None:
    await sent(server)
    assert server.hosts == {"demo.default.kv"}


async def test_a_refused_first_write_stops_the_load_and_says_where(server: Server) -> None:
    server.answer = lambda _: answer(503)
    with pytest.raises(TargetError, match=r"west at http://.* refused 5 of 5 first writes \(http 503: 5\)"):
        await sent(server)


async def test_nobody_listening_is_said_so() -> None:
    async with Load([Target("west", "http://127.0.0.1:1")], SHORT, run="t", random=Random(3)) as load:
        with pytest.raises(TargetError, match="connection: 5"):
            await load.prepare()


async def answer(status: int, body: bytes = b"") -> web.Response:
    return web.Response(status=status, body=body)


@pytest.mark.parametrize(
    ("misbehave", "kind"),
    [
        (lambda _: answer(503), "http 503"),
        (lambda _: answer(301), "http 301"),
        (lambda request: answer(404 if request.method == "GET" else 200), LOST),
        (lambda request: answer(200, b"other bytes"), WRONG),
        (lambda _: asyncio.sleep(1), TIMEOUT),
    ],
)
async def test_failures_are_counted_by_kind(server: Server, misbehave: Misbehaviour, kind: str) -> None:
    tally = await sent(server, IMPATIENT if kind == TIMEOUT else SHORT, misbehave)
    assert set(tally.errors) == {kind}


async def test_a_connection_that_breaks_is_an_error(server: Server) -> None:
    async def break_off(request: web.Request) -> None:
        assert request.transport
        request.transport.abort()

    tally = await sent(server, misbehave=break_off)
    assert tally.errors[CONNECTION] == tally.done > 0


async def test_requests_beyond_those_in_flight_are_dropped_and_said(server: Server) -> None:
    tally = await sent(server, Plan(rate=200, duration_s=0.5, keys=5, max_in_flight=3), lambda _: asyncio.sleep(0.6))
    assert tally.sent <= 6
    assert tally.dropped > 50
    assert summary({"west": tally}, 1.0)["total"]["dropped"] == tally.dropped


async def test_a_stall_is_felt_by_every_request_that_was_due_in_it(server: Server) -> None:
    """One request at a time would see one slow answer (coordinated omission); here about half of all are slow."""
    stalled_until = asyncio.get_running_loop().time() + 0.3

    async def stall(request: web.Request) -> None:
        await asyncio.sleep(max(0.0, stalled_until - asyncio.get_running_loop().time()))

    tally = await sent(server, Plan(rate=200, duration_s=0.5, keys=5), stall)
    assert tally.reads.percentile(75) > 0.05


async def test_a_generator_that_could_not_send_in_time_says_so_and_its_latencies_count_that(server: Server) -> None:
    """The server of this test runs in the generator's own loop, and holds it up once."""
    held_up = 0

    async def hold_up(_: web.Request) -> None:
        nonlocal held_up
        held_up += 1
        if held_up == 20:
            time.sleep(0.1)  # noqa: ASYNC251

    tally = await sent(server, replace(SHORT, arrivals=Arrivals.CONSTANT, reads=1.0), hold_up)
    late = [count for edge_s, count in tally.slip.buckets() if edge_s > 0.05]
    waited = [count for edge_s, count in tally.reads.buckets() if edge_s > 0.05]
    assert sum(waited) >= sum(late) >= 9  # 10 were due in the first half of it
    assert tally.void


async def test_a_load_can_be_stopped_early_and_still_counts_what_is_in_flight(server: Server) -> None:
    arrived = asyncio.Event()

    async def answer_late(_: web.Request) -> None:
        arrived.set()
        await asyncio.sleep(0.1)

    async with Load([Target("west", server.url)], Plan(rate=200, duration_s=3600), run="t", random=Random(3)) as load:
        await load.prepare()
        server.answer = answer_late
        running = asyncio.create_task(load.run())
        await asyncio.wait_for(arrived.wait(), 10)
        load.stop()
        await asyncio.wait_for(running, 10)
        assert load.tallies["west"].done == load.tallies["west"].sent > 0
        assert load.tallies["west"].failed == 0


async def test_what_is_sent_while_the_load_warms_up_is_in_no_figure(server: Server) -> None:
    asked = 0

    async def count(_: web.Request) -> None:
        nonlocal asked
        asked += 1

    plan = replace(SHORT, warm_up_s=0.5)
    tally = await sent(server, plan, count)
    assert asked > tally.done == tally.sent == tally.slip.count > 50


async def test_reads_that_were_answered_from_a_cache_are_hits(server: Server) -> None:
    async def cached(request: web.Request) -> web.Response:
        return web.Response(body=server.records[request.path], headers={"Age": "3"})

    tally = await sent(server, replace(SHORT, reads=1.0), cached)
    assert tally.hits.count == tally.reads.count > 50
    assert (await sent(server)).hits.count == 0


async def test_a_kept_connection_that_was_closed_meanwhile_costs_no_request(server: Server) -> None:
    async def close_next(request: web.Request) -> None:
        """Says that the connection is kept, and closes it."""
        assert request.transport
        asyncio.get_running_loop().call_later(0.001, request.transport.close)

    tally = await sent(server, replace(SHORT, reads=1.0), close_next)
    assert (tally.failed, tally.done) == (0, tally.sent)


async def test_an_answer_in_chunks_is_read_whole(server: Server) -> None:
    async def in_chunks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        value = server.records[request.path]
        await response.write(value[:10])
        await response.write(value[10:])
        return response

    tally = await sent(server, replace(SHORT, reads=1.0), in_chunks)
    assert (tally.failed, tally.done) == (0, tally.sent)


async def test_bytes_that_are_no_answer_are_a_broken_connection(server: Server) -> None:
    async def babble(request: web.Request) -> None:
        assert isinstance(request.transport, asyncio.Transport)
        request.transport.write(b"hello\r\n\r\n")

    tally = await sent(server, misbehave=babble)
    assert tally.errors[CONNECTION] == tally.done > 0


async def test_each_region_has_its_own_figures(server: Server) -> None:
    targets = [Target("west", server.url), Target("east", server.url)]
    async with Load(targets, SHORT, run="t", random=Random(3)) as load:
        await load.prepare()
        elapsed_s = await load.run()
        report = json.loads(json.dumps(summary(load.tallies, elapsed_s)))
    assert set(report["regions"]) == {"west", "east"}
    assert report["total"]["requests"] == sum(figures["requests"] for figures in report["regions"].values())

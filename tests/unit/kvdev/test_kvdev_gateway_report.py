"""A status is written only when Envoy shows that it is true. Envoy's admin port and the API server are scripted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiohttp import web

from kvdev.client import Api, ApiError
from kvdev.gateway.report import Reporter
from kvdev.gateway.status import Report

CONFIG = "default/eu/8080"
PATH = "/routes/kv"


@dataclass
class World:
    """Envoy's answer (`version`, `refused`) and number of looks at it; what was written, and failures to come."""

    version: str = "v1"
    refused: int = 0
    looks: int = 0
    writes: list[str] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    reporter: Reporter = field(init=False)

    async def stats(self, _: web.Request) -> web.Response:
        self.looks += 1
        scope = f"http.{CONFIG}.rds.{CONFIG}"
        return web.Response(text=f'{scope}.version_text: "{self.version}"\n{scope}.update_rejected: {self.refused}')

    async def request(self, method: str, path: str, *, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        if self.failures:
            raise ApiError(self.failures.pop(), "", "", {})
        self.writes.append(body["status"]["says"])
        return {"metadata": {"resourceVersion": "10"}}

    def take(self, version: str, *, held: str = "", at: int = 1) -> None:
        report = Report(
            PATH, at, {"says": held}, {"says": f"{version} taken"}, {"says": "refused"}, frozenset({CONFIG})
        )
        self.reporter.take([report], {CONFIG: version})

    async def looked(self, times: int = 2) -> None:
        """So many looks from now: the first may have begun before."""
        seen = self.looks
        await self.until(lambda: self.looks >= seen + times)

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not done():  # noqa: ASYNC110 (what is awaited is another party's doing)
                await asyncio.sleep(0.002)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    app = web.Application()
    app.router.add_get("/stats", made.stats)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.reporter = Reporter(cast("Api", made), f"http://127.0.0.1:{runner.addresses[0][1]}")
    task = asyncio.ensure_future(cast("Awaitable[None]", made.reporter.run()))
    yield made
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await runner.cleanup()


async def test_nothing_is_said_before_envoy_has_taken_it(world: World) -> None:
    world.take("v2")
    await world.looked()
    assert world.writes == []
    world.version = "v2"
    await world.until(lambda: world.writes == ["v2 taken"])


async def test_a_refusal_is_said_once_and_the_next_version_is_judged_anew(world: World) -> None:
    world.take("v2")
    world.refused = 1
    await world.until(lambda: world.writes == ["refused"])
    world.take("v2", held="refused", at=10)
    world.take("v3", held="refused", at=11)
    await world.looked()
    world.version = "v3"
    await world.until(lambda: world.writes == ["refused", "v3 taken"])


async def test_refusals_from_before_are_not_held_against_a_new_version(world: World) -> None:
    world.refused = 3
    await world.reporter.learn()
    world.take("v2")
    await world.looked()
    assert world.writes == []


async def test_envoy_is_not_looked_at_while_nothing_is_unsaid(world: World) -> None:
    world.take("v1", held="v1 taken")
    world.reporter.take([], {})
    world.version = "v2"
    await world.reporter.learn()  # one look of ours, by which time the reporter has seen the news
    assert world.looks == 1


async def test_an_object_older_than_our_last_write_is_not_written_again(world: World) -> None:
    world.take("v1")
    await world.until(lambda: world.writes == ["v1 taken"])
    world.take("v1", at=9)
    for _ in range(3):
        await world.reporter.learn()  # as good as three looks: time enough to write it again
    assert world.writes == ["v1 taken"]
    world.version = "v2"
    world.take("v2", held="v1 taken", at=11)
    await world.until(lambda: world.writes == ["v1 taken", "v2 taken"])


async def test_an_object_that_is_gone_needs_no_status(world: World) -> None:
    world.failures = [404]
    world.take("v1")
    await world.until(lambda: world.failures == [])
    looks = world.looks
    world.take("v1", held="v1 taken", at=2)
    assert (world.writes, world.looks) == ([], looks)


async def test_a_failed_write_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvdev.gateway.report.SELDOM_S", 0.01)
    world.failures = [500]
    world.take("v1")
    await world.until(lambda: world.writes == ["v1 taken"])

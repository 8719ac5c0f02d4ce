"""Regions that answer as a test says, and time that passes only when everybody waits."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import httpx
import pytest

from kvclient import AsyncClient

PROBLEMS = "https://kvcluster.dev/problems/"


class _Selector(selectors.DefaultSelector):
    """Waiting takes no time, but is counted."""

    now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for something that will never happen"
            self.now_s += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = _Selector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now_s


class Seen(NamedTuple):
    """A request; `at_s` since the story began."""

    at_s: float
    region: str
    request: httpx.Request


Answer = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class World:
    """`regions`: how each answers. `tell` runs a story in virtual time with a client of them all."""

    def __init__(self) -> None:
        self.regions: dict[str, Answer] = {}
        self.seen: list[Seen] = []
        self.lasted_s = 0.0
        self._began_s = 0.0

    def tell(self, story: Callable[[AsyncClient], Awaitable[Any]], **options: Any) -> Any:
        with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
            return runner.run(self._told(story, options))

    async def _told(self, story: Callable[[AsyncClient], Awaitable[Any]], options: dict[str, Any]) -> Any:
        loop = asyncio.get_running_loop()
        self._began_s = loop.time()
        urls = {name: f"http://{name}:8080" for name in self.regions}
        async with AsyncClient(urls, transport=httpx.MockTransport(self._answer), **options) as kv:
            try:
                return await story(kv)
            finally:
                self.lasted_s = loop.time() - self._began_s

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        region = request.url.host
        self.seen.append(Seen(asyncio.get_running_loop().time() - self._began_s, region, request))
        answer = self.regions[region](request)
        return answer if isinstance(answer, httpx.Response) else await answer

    @property
    def asked(self) -> list[str]:
        """The regions, in the order of the requests."""
        return [seen.region for seen in self.seen]

    def sent(self, header: str) -> list[str | None]:
        """What the requests had in a header."""
        return [seen.request.headers.get(header) for seen in self.seen]

    def after(self, seconds: float, response: httpx.Response) -> Answer:
        async def answer(_request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(seconds)
            return copied(response)

        return answer

    def in_turn(self, *answers: httpx.Response | Exception | Answer) -> Answer:
        """Each once; the last one for ever."""
        left = list(answers)

        def answer(request: httpx.Request) -> httpx.Response | Awaitable[httpx.Response]:
            now = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(now, Exception):
                raise now
            return copied(now) if isinstance(now, httpx.Response) else now(request)

        return answer

    def found(self, value: bytes = b"world", version: int = 7, **headers: str) -> httpx.Response:
        about = {"etag": f'"{version}"', "content-type": "text/plain"}
        return httpx.Response(200, content=value, headers=about | dashed(headers))

    def written(self, version: int = 8, status: int = 204, **headers: str) -> httpx.Response:
        return httpx.Response(status, headers={"etag": f'"{version}"'} | dashed(headers))

    def problem(self, status: int, slug: str, /, retry_after: str | None = None, **members: Any) -> httpx.Response:
        body = {"type": PROBLEMS + slug, "title": slug, "status": status, "detail": f"because of {slug}", **members}
        headers = {} if retry_after is None else {"retry-after": retry_after}
        response = httpx.Response(status, json=body, headers=headers)
        response.headers["content-type"] = "application/problem+json"
        return response


def dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def copied(response: httpx.Response) -> httpx.Response:
    return httpx.Response(response.status_code, headers=response.headers, content=response.content)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def new_world() -> type[World]:
    """For tests that need one for each of their examples."""
    return World

"""The data port's application around fake use cases, without a network: for the tests of what is HTTP's own."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI

from kvservice.core.admission import Admission
from kvservice.core.envelope import Envelope
from kvservice.core.namespaces import Namespace, Namespaces
from kvservice.core.ports import FeedPage, Key
from kvservice.core.records import Found, Listed, Written
from kvservice.core.request import Context
from kvservice.core.session import Sessions
from kvservice.http.app import Outermost, create_app
from kvservice.http.auth import Authenticator, AuthFile
from kvservice.http.door import Limits
from kvservice.telemetry import Telemetry

NOW_US = 1_795_371_146_000_000
SECRET = b"secret"


def envelope(payload: bytes = b"world", version: int = 7, **more: Any) -> Envelope:
    return Envelope(version, "here", "text/plain", payload, **more)


@dataclass
class FakeRecords:
    """Answers what it is told to, and notes what it was asked. `error`: raised by all. `slow_s`: taken by all."""

    found: Found | None = None
    written: Written = field(default_factory=lambda: Written(7, created=False, replayed=False))
    listed: Listed = field(default_factory=lambda: Listed([], None))
    error: Exception | None = None
    slow_s: float = 0.0
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)

    async def read(self, key: Key, context: Context) -> Found | None:
        await self._note(context, "read", key)
        if self.found is not None:
            context.session.saw(key, self.found.envelope.version)
        return self.found

    async def write(self, key: Key, payload: bytes, content_type: str, context: Context) -> Written:
        await self._note(context, "write", key, payload, content_type)
        context.session.saw(key, self.written.version)
        return self.written

    async def patch(self, key: Key, patch: bytes, context: Context) -> Written:
        await self._note(context, "patch", key, patch)
        return self.written

    async def delete(self, key: Key, context: Context) -> Written:
        await self._note(context, "delete", key)
        return self.written

    async def items(self, namespace: str, id_: str, *, prefix: str, after: str, limit: int, context: Context) -> Listed:
        await self._note(context, "items", namespace, id_, prefix, after, limit)
        return self.listed

    async def _note(self, context: Context, *call: Any) -> None:
        self.asked.append(call)
        self.contexts.append(context)
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        if self.error is not None:
            raise self.error


@dataclass
class FakeFeed:
    page: FeedPage = field(default_factory=lambda: FeedPage([], "", lost=False))
    asked: list[tuple[str, int, float]] = field(default_factory=list)

    async def read(self, cursor: str, *, limit: int, wait_s: float) -> FeedPage:
        self.asked.append((cursor, limit, wait_s))
        return self.page


class Service:
    """A pod whose parts a test may set and look at."""

    def __init__(self) -> None:
        self.records = FakeRecords()
        self.feed = FakeFeed()
        self.telemetry = Telemetry(edges_s=(), build="b", version="v", region="here", revision="s")
        self.sessions = Sessions(SECRET, "here", lambda: NOW_US)
        self.is_draining = False

    def serve(self, *namespaces: Namespace, auth: AuthFile | None = None, **settings: Any) -> httpx.AsyncClient:
        """-> a client of `app`, as it is served."""
        app = Outermost(self.app(*namespaces, auth=auth, **settings), self.telemetry, lambda: self.is_draining)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pod")

    def app(self, *namespaces: Namespace, auth: AuthFile | None = None, **settings: Any) -> FastAPI:
        """With these namespaces, by default any, and with settings other than usual."""
        now_s = asyncio.get_running_loop().time
        parts: dict[str, Any] = {
            "records": self.records,
            "feed": self.feed,
            "admission": Admission(100, now_s),
            "namespaces": Namespaces(namespaces or [Namespace(name="*")]),
            "authenticator": Authenticator(auth, now_s),
            "sessions": self.sessions,
            "limits": Limits(id_bytes=64, value_bytes=1000),
            "deadline_s": 10.0,
            "page_secret": SECRET,
            "relay_token": "relay",
            "now_us": lambda: NOW_US,
            "version": "v",
        }
        return create_app(**{**parts, **settings})


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and name of the problem that an answer is."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"]
    assert body["detail"]
    return answer.status_code, body["type"].removeprefix("https://kvcluster.dev/problems/")

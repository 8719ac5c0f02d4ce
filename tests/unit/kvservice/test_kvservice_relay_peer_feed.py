"""The peer's feed over HTTP: what is asked, and what is made of each answer."""

import ssl
from typing import Any

import httpx
import pytest

from kvservice.core.changes import to_json
from kvservice.core.envelope import Envelope, encode
from kvservice.core.ports import Entry, FeedPage, Key
from kvservice.errors import InvalidRequest, Unavailable
from kvservice.relay.peer_feed import PeerFeed

TLS = ssl.create_default_context()
ENTRY = Entry(Key("ns", "id", "item"), encode(Envelope(5, "there", "text/plain", b"\0one", seen={"here": 3})))


class Peer:
    """Answers each request with the same response, or error."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self._answer = answer
        self.asked: list[httpx.Request] = []

    async def read(self, cursor: str = "") -> FeedPage:
        feed = PeerFeed("http://peer:8080", "secret", TLS, httpx.MockTransport(self._handle))
        try:
            return await feed.read(cursor, limit=7, wait_s=1.5)
        finally:
            await feed.close()

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def page(**fields: Any) -> httpx.Response:
    return httpx.Response(200, json={"changes": [to_json(ENTRY)], "next": "9", "lost": False, **fields})


async def test_a_page_is_asked_for_as_the_route_wants_it() -> None:
    peer = Peer(page())
    await peer.read("a b&c")

    (request,) = peer.asked
    assert request.url.path == "/v1/changes"
    assert dict(request.url.params) == {"after": "a b&c", "limit": "7", "waitMs": "1500"}
    assert request.headers["authorization"] == "Bearer secret"


async def test_a_page_comes_back_to_the_byte() -> None:
    assert await Peer(page(lost=True)).read() == FeedPage([ENTRY], "9", True)


async def test_a_refused_cursor_is_told_apart() -> None:
    with pytest.raises(InvalidRequest, match="'x'"):
        await Peer(httpx.Response(422, text="no cursor")).read("x")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
        httpx.Response(401),
        httpx.Response(302, headers={"location": "http://elsewhere/"}),
        httpx.Response(503, text="busy"),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, content=b"\xff"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"changes": []}),
        page(next=9),
        page(changes=[{"namespace": "ns"}]),
        page(changes=[{**to_json(ENTRY), "namespace": ""}]),
        page(changes=["change"]),
    ],
    ids=repr,
)
async def test_every_other_answer_means_try_again(answer: httpx.Response | Exception) -> None:
    peer = Peer(answer)
    with pytest.raises(Unavailable) as raised:
        await peer.read()

    assert len(peer.asked) == 1
    assert "secret" not in str(raised.value)

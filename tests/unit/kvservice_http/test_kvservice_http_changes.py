"""The change feed, for those who know the relays' token."""

import httpx
import pytest
from kvhttp import Service, envelope, problem

from kvservice.core.changes import from_json
from kvservice.core.envelope import encode
from kvservice.core.ports import Entry, FeedPage, Key

URL = "/v1/changes"
TOKEN = {"authorization": "Bearer relay"}


async def test_changes_travel_whole(service: Service, client: httpx.AsyncClient) -> None:
    entries = [
        Entry(Key("demo", "a"), encode(envelope(b"\xff", seen={"eu": 5}))),
        Entry(Key("demo", "a", "b"), encode(envelope(b"", tombstone=True, expires_us=9))),
    ]
    service.feed.page = FeedPage(entries, "17", lost=True)
    answer = (await client.get(URL, headers=TOKEN)).json()

    assert (answer["next"], answer["lost"]) == ("17", True)
    assert [from_json(change) for change in answer["changes"]] == entries


@pytest.mark.parametrize(
    ("query", "asked"), [("", ("", 100, 0.0)), ("?after=17&limit=5&waitMs=20000", ("17", 5, 20.0))]
)
async def test_the_feed_is_asked_for_what_was_sent(
    service: Service, client: httpx.AsyncClient, query: str, asked: tuple[str, int, float]
) -> None:
    await client.get(URL + query, headers=TOKEN)

    assert service.feed.asked == [asked]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "waitMs=20001", "waitMs=x", "cursor=1", "after=1&after=2"])
async def test_a_wrong_query_is_refused(service: Service, client: httpx.AsyncClient, query: str) -> None:
    assert problem(await client.get(f"{URL}?{query}", headers=TOKEN)) == (422, "invalid-request")
    assert service.feed.asked == []


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer other"}, {"authorization": "relay"}])
async def test_nobody_else_reads_them(service: Service, client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert problem(await client.get(URL, headers=headers)) == (401, "unauthenticated")
    assert service.feed.asked == []


async def test_without_a_token_in_the_settings_nobody_reads_them(service: Service) -> None:
    client = service.serve(relay_token="")

    for token in ("", "relay", "=", "."):
        assert problem(await client.get(URL, headers={"authorization": f"Bearer {token}"})) == (401, "unauthenticated")
    assert "KV_RELAY_TOKEN" in (await client.get(URL, headers=TOKEN)).json()["detail"]
    assert service.feed.asked == []


async def test_where_no_feed_is_kept_there_is_no_such_address(service: Service) -> None:
    assert problem(await service.serve(feed=None).get(URL, headers=TOKEN)) == (404, "unknown-route")

"""The change feed's route: what this region has written, for the relays of the other regions."""

import hmac
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kvservice.core.changes import to_json
from kvservice.core.ports import Feed
from kvservice.errors import Unauthenticated
from kvservice.http import headers, query
from kvservice.http.auth import bearer

PATH = "/v1/changes"
MAX_CHANGES = 1000
DEFAULT_CHANGES = 100
MAX_WAIT_MS = 20_000


class ChangeRoutes:
    """`relay_token`: "" lets nobody in."""

    def __init__(self, feed: Feed, relay_token: str) -> None:
        self._feed = feed
        self._relay_token = relay_token.encode()

    async def read(self, request: Request) -> Response:
        self._check(headers.Sent(request.scope["headers"]).one("authorization"))
        sent = query.parameters(request, ("after", "limit", "waitMs"))
        limit = headers.whole(sent.get("limit", str(DEFAULT_CHANGES)), "limit", 1, MAX_CHANGES)
        wait_ms = headers.whole(sent.get("waitMs", "0"), "waitMs", 0, MAX_WAIT_MS)
        page = await self._feed.read(sent.get("after", ""), limit=limit, wait_s=wait_ms / 1000)
        changes: list[dict[str, Any]] = [to_json(entry) for entry in page.entries]
        return JSONResponse({"changes": changes, "next": page.cursor, "lost": page.lost})

    def _check(self, authorization: str | None) -> None:
        token = bearer(authorization)
        if not self._relay_token:
            raise Unauthenticated("nobody may read the changes here; KV_RELAY_TOKEN says who may")
        if not hmac.compare_digest(token.encode(), self._relay_token):
            raise Unauthenticated("the bearer token is not the one of the relays")

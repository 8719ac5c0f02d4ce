"""Another region's change feed, over HTTP."""

from ssl import SSLContext
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from kvservice.core.changes import from_json
from kvservice.core.ports import FeedPage
from kvservice.errors import InvalidRequest, Unavailable

CONNECT_S = 5.0
ANSWER_S = 20.0  # beyond the time that the feed may wait for a change


class PeerFeed:
    """`kvservice.core.ports.Feed` of the peer at `url`. `tls`: what an https peer is checked against. `transport`:
    None is the network."""

    def __init__(
        self, url: str, token: str, tls: SSLContext, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {token}"},
            verify=tls,
            transport=transport,
            trust_env=False,
        )

    async def read(self, cursor: str, *, limit: int, wait_s: float) -> FeedPage:
        """Raises InvalidRequest if the peer knows no such cursor, Unavailable for all else."""
        parameters: dict[str, Any] = {"after": cursor, "limit": limit, "waitMs": round(wait_s * 1000)}
        timeout = httpx.Timeout(wait_s + ANSWER_S, connect=CONNECT_S)
        try:
            answer = await self._client.get("/v1/changes", params=parameters, timeout=timeout)
        except httpx.HTTPError as error:
            raise Unavailable(f"{type(error).__name__} {error}".strip()) from error
        if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            raise InvalidRequest(f"the peer refuses the cursor {cursor!r}: {answer.text[:200]}")
        if answer.status_code != httpx.codes.OK:
            raise Unavailable(f"the peer answers {answer.status_code}, expected 200: {answer.text[:200]}")
        return _page(answer)

    async def close(self) -> None:
        await self._client.aclose()


class _Page(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    changes: list[dict[str, Any]]
    next: str
    lost: bool


def _page(answer: httpx.Response) -> FeedPage:
    try:
        page = _Page.model_validate_json(answer.content)
        return FeedPage([from_json(change) for change in page.changes], page.next, page.lost)
    except (ValidationError, InvalidRequest) as error:
        raise Unavailable(f"the peer's answer cannot be read: {error}; is it another build?") from error

"""The range route: the items of an id in the order of their names, page by page."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kvservice.core.envelope import Envelope
from kvservice.core.records import Records
from kvservice.errors import InvalidRequest
from kvservice.http import headers, names, query
from kvservice.http.door import Doing, Door, answered
from kvservice.http.paging import Pages, Place

PATH = "/v1/kv/{ns}/{id}/items"
MAX_ITEMS = 1000
DEFAULT_ITEMS = 100


class ItemRoutes:
    def __init__(self, records: Records, door: Door, pages: Pages, now_us: Callable[[], int]) -> None:
        self._records = records
        self._door = door
        self._pages = pages
        self._now_us = now_us

    async def list(self, request: Request) -> Response:
        asked = await self._door.asked(request, Doing.READ)
        context = asked.context
        key = names.key(request.path_params, self._door.limits.id_bytes)
        sent = query.parameters(request, ("prefix", "after", "limit", "page"))
        limit = headers.whole(sent.get("limit", str(DEFAULT_ITEMS)), "limit", 1, MAX_ITEMS)
        place = self._place(key.namespace, key.id, sent)
        with self._door.room(asked):
            work = self._records.items(
                key.namespace, key.id, prefix=place.prefix, after=place.after, limit=limit, context=context
            )
            listed = await answered(context.deadline, Doing.READ, work)
        items = [self._shown(item, envelope) for item, envelope in listed.items]
        next_ = listed.after and self._pages.token(key.namespace, key.id, Place(place.prefix, listed.after))
        return JSONResponse({"items": items, "next": next_ or None}, headers=headers.of_session(context))

    def _place(self, namespace: str, id_: str, sent: dict[str, str]) -> Place:
        if "page" not in sent:
            limit = self._door.limits.id_bytes
            prefix, after = (names.part(sent.get(name, ""), name, limit, least=0) for name in ("prefix", "after"))
            return Place(prefix, after)
        if "prefix" in sent or "after" in sent:
            raise InvalidRequest("page says where to go on; leave out prefix and after")
        return self._pages.place(namespace, id_, sent["page"])

    def _shown(self, item: str, envelope: Envelope) -> dict[str, Any]:
        return {"item": item, **shown(envelope, self._now_us)}


def shown(envelope: Envelope, now_us: Callable[[], int]) -> dict[str, Any]:
    """A record's value in JSON."""
    left_s = headers.ttl_left_s(envelope.expires_us, now_us)
    return {
        "version": str(envelope.version),
        "contentType": envelope.content_type,
        "value": b64encode(envelope.payload).decode(),
        **({} if left_s is None else {"ttlS": left_s}),
    }

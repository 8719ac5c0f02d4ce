"""The record routes: a record's own value and its items, raw in and out. `kvservice.core.records` has the meaning."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from kvservice.core.conditions import etag
from kvservice.core.ports import Key
from kvservice.core.records import Records, Written
from kvservice.core.request import Context
from kvservice.errors import InvalidRequest, PreconditionFailed
from kvservice.http import body, headers, names, problems
from kvservice.http.door import Asked, Doing, Door, answered, arrived

PATHS = ("/v1/kv/{ns}/{id}", "/v1/kv/{ns}/{id}/items/{item}")
PATCH_TYPES = ("application/merge-patch+json", "application/json")
Write = Callable[[Key, Asked, bytes], Awaitable[Written]]


class RecordRoutes:
    def __init__(self, records: Records, door: Door, now_us: Callable[[], int]) -> None:
        self._records = records
        self._door = door
        self._now_us = now_us

    async def read(self, request: Request) -> Response:
        """GET and HEAD: uvicorn leaves out the body of the latter."""
        asked = await self._door.asked(request, Doing.READ)
        context = asked.context
        key = names.key(request.path_params, self._door.limits.id_bytes)
        with self._door.room(asked):
            found = await answered(context.deadline, Doing.READ, self._records.read(key, context))
        present = None if found is None else found.envelope.version
        if not context.conditions.match_holds(present):
            raise PreconditionFailed(present)
        if found is None:
            return _missing(key, context)
        about = headers.of_found(found, self._now_us) | headers.of_session(context)
        if not context.conditions.none_match_holds(present):
            return Response(status_code=304, headers=about)
        return Response(found.envelope.payload, headers={**about, "content-type": found.envelope.content_type})

    async def write(self, request: Request) -> Response:
        async def put(key: Key, asked: Asked, payload: bytes) -> Written:
            return await self._records.write(key, payload, headers.content_type(asked.sent), asked.context)

        return await self._changed(request, put)

    async def patch(self, request: Request) -> Response:
        async def merge(key: Key, asked: Asked, payload: bytes) -> Written:
            kind = headers.content_type(asked.sent).partition(";")[0].strip().lower()
            if kind not in PATCH_TYPES:
                raise InvalidRequest(f"content-type of a patch is {kind!r}, expected {' or '.join(PATCH_TYPES)}")
            return await self._records.patch(key, payload, asked.context)

        return await self._changed(request, merge)

    async def delete(self, request: Request) -> Response:
        asked = await self._door.asked(request, Doing.WRITE)
        key = names.key(request.path_params, self._door.limits.id_bytes)
        with self._door.room(asked):
            work = self._records.delete(key, asked.context)
            written = await answered(asked.context.deadline, Doing.WRITE, work)
        return Response(status_code=204, headers=headers.of_written(written, asked.context))

    async def _changed(self, request: Request, write: Write) -> Response:
        asked = await self._door.asked(request, Doing.WRITE)
        deadline = asked.context.deadline
        key = names.key(request.path_params, self._door.limits.id_bytes)
        with self._door.room(asked):
            payload = await arrived(deadline, body.read(request, self._door.value_limit(asked)))
            written = await answered(deadline, Doing.WRITE, write(key, asked, payload))
        about = {"etag": etag(written.version)} | headers.of_written(written, asked.context)
        return Response(status_code=201 if written.created else 204, headers=about)


def _missing(key: Key, context: Context) -> Response:
    what = f"{key.id!r}" + (f", item {key.item!r}," if key.item else "")
    answer = problems.record_not_found(f"{what} in namespace {key.namespace!r}").response()
    answer.headers.update(headers.of_session(context))
    return answer

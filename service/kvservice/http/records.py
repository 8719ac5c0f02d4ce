"""The record routes: what is in a request, and what its answer looks like. `kvservice.core.records` has the meaning."""

import re
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI, Request, Response

from kvservice.core.conditions import Conditions, etag
from kvservice.core.envelope import MAX_CONTENT_TYPE_BYTES
from kvservice.core.records import Records
from kvservice.errors import InvalidRequest, PreconditionFailed, ValueTooLarge
from kvservice.http import problems

PATH = "/v1/kv/{ns}/{id}"
NAMESPACE_PATTERN = r"^[a-z0-9]([-_.a-z0-9]{0,61}[a-z0-9])?$"
_NAMESPACE = re.compile(NAMESPACE_PATTERN)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNKEPT = ("content-encoding", "content-range")
DEFAULT_CONTENT_TYPE = "application/octet-stream"

_FAILURES = (problems.INVALID_REQUEST, problems.INTERNAL, problems.STORE_UNAVAILABLE, problems.STORE_BUSY)
_CHANGE_FAILURES = (problems.PRECONDITION_FAILED, *_FAILURES, problems.CLOCK_SKEW)

_ETAG: dict[str, Any] = {"ETag": {"description": 'The version, as "<decimal>"', "schema": {"type": "string"}}}
_ANY_CONTENT: dict[str, Any] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_FOUND: dict[int | str, dict[str, Any]] = {
    200: {"description": "The value", "headers": _ETAG, "content": _ANY_CONTENT},
    304: {"description": "If-None-Match names the present version", "headers": _ETAG},
    **problems.responses(problems.RECORD_NOT_FOUND, problems.PRECONDITION_FAILED, *_FAILURES),
}
_WRITTEN: dict[int | str, dict[str, Any]] = {
    201: {"description": "Created", "headers": _ETAG},
    204: {"description": "Replaced", "headers": _ETAG},
    **problems.responses(problems.VALUE_TOO_LARGE, *_CHANGE_FAILURES),
}
_DELETED: dict[int | str, dict[str, Any]] = {
    204: {"description": "There is no such record (any more)"},
    **problems.responses(*_CHANGE_FAILURES),
}


class Limits(NamedTuple):
    id_bytes: int
    value_bytes: int


def add_routes(app: FastAPI, records: Records, limits: Limits) -> None:
    """GET, HEAD, PUT and DELETE of a record."""
    described = {"parameters": _parameters(limits)}
    body = {"requestBody": {"content": _ANY_CONTENT, "required": True}}

    @app.head(PATH, responses=_FOUND, openapi_extra=described, summary="Look at a record")
    @app.get(PATH, responses=_FOUND, openapi_extra=described, summary="Read a record", response_class=Response)
    async def read(request: Request) -> Response:
        namespace, id_, conditions = _asked(request, limits)
        record = await records.read(namespace, id_)
        present = None if record is None else record.version
        if not conditions.match_holds(present):
            raise PreconditionFailed(present)
        if record is None:
            return problems.problem(problems.RECORD_NOT_FOUND, f"no record {id_!r} in namespace {namespace!r}")
        headers = {"etag": etag(record.version), "content-type": record.content_type}
        if not conditions.none_match_holds(present):
            return Response(status_code=304, headers={"etag": headers["etag"]})
        return Response(record.payload, headers=headers)

    @app.put(PATH, responses=_WRITTEN, openapi_extra=described | body, summary="Write a record", status_code=204)
    async def write(request: Request) -> Response:
        namespace, id_, conditions = _asked(request, limits)
        content_type = _content_type(request)
        payload = await _payload(request, limits.value_bytes)
        version, created = await records.write(namespace, id_, payload, content_type, conditions)
        return Response(status_code=201 if created else 204, headers={"etag": etag(version)})

    @app.delete(PATH, responses=_DELETED, openapi_extra=described, summary="Delete a record", status_code=204)
    async def delete(request: Request) -> Response:
        namespace, id_, conditions = _asked(request, limits)
        await records.delete(namespace, id_, conditions)
        return Response(status_code=204)


def _asked(request: Request, limits: Limits) -> tuple[str, str, Conditions]:
    """-> namespace, id, conditions. Path parameters come percent-encoded: see `kvservice.http.app.EncodedPath`."""
    namespace = _decoded(request.path_params["ns"], "namespace")
    if not _NAMESPACE.fullmatch(namespace):
        raise InvalidRequest(f"namespace {namespace!r} does not match {NAMESPACE_PATTERN}")
    id_ = _decoded(request.path_params["id"], "id")
    length = len(id_.encode())
    if length > limits.id_bytes:
        raise InvalidRequest(f"the id has {length} bytes, at most {limits.id_bytes} are allowed")
    return namespace, id_, Conditions(_all(request, "if-match"), _all(request, "if-none-match"))


def _decoded(segment: str, what: str) -> str:
    if _BAD_ESCAPE.search(segment):
        raise InvalidRequest(f"{what} {segment!r}: each % must be followed by two hexadecimal digits; write % as %25")
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{what} {segment!r} is not UTF-8 when decoded") from None


def _all(request: Request, name: str) -> str | None:
    return ", ".join(request.headers.getlist(name)) or None


def _content_type(request: Request) -> str:
    for name in _UNKEPT:
        if name in request.headers:
            raise InvalidRequest(f"{name} is not kept with a value; send the whole value, plain")
    content_type = request.headers.get("content-type", DEFAULT_CONTENT_TYPE)
    if len(content_type) > MAX_CONTENT_TYPE_BYTES:
        raise InvalidRequest(
            f"content-type has {len(content_type)} bytes, at most {MAX_CONTENT_TYPE_BYTES} are allowed"
        )
    return content_type


async def _payload(request: Request, limit: int) -> bytes:
    """The body; what goes beyond the limit is not read. A declared length is believed only when it is too large."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > limit:
            raise _too_large(limit)
        parts.append(part)
    return b"".join(parts)


def _too_large(limit: int) -> ValueTooLarge:
    return ValueTooLarge(f"the value has more than the {limit} bytes allowed; split it, or raise limits.valueBytes")


def _parameters(limits: Limits) -> list[dict[str, Any]]:
    namespace = {"type": "string", "pattern": NAMESPACE_PATTERN}
    id_ = {"type": "string", "minLength": 1, "maxLength": limits.id_bytes}
    tags = {"type": "string", "description": "A list of ETags, or *"}
    return [
        {"name": "ns", "in": "path", "required": True, "schema": namespace, "description": "Namespace"},
        {"name": "id", "in": "path", "required": True, "schema": id_, "description": "Any UTF-8; / is written %2F"},
        {"name": "If-Match", "in": "header", "schema": tags},
        {"name": "If-None-Match", "in": "header", "schema": tags},
    ]

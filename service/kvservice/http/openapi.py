"""The OpenAPI document: what `/openapi.json` says, and `python -m kvservice.http.openapi` prints for docs/openapi.json.

Written by hand beside the routes, because these read raw headers and bodies, which FastAPI does not look into. Tests
hold it against the routes, and against what a running pod answers.
"""

import json
from importlib.metadata import version
from typing import Any

from kvservice.http import changes, items, problems
from kvservice.http import openapi_parts as parts
from kvservice.http.batch import GET_PATH, WRITE_PATH
from kvservice.http.door import Limits
from kvservice.http.openapi_parts import TEXT, Json, ref
from kvservice.http.records import PATCH_TYPES, PATHS

_COMMON = (
    problems.UNAUTHENTICATED,
    problems.FORBIDDEN,
    problems.UNKNOWN_NAMESPACE,
    problems.INVALID_REQUEST,
    problems.INVALID_SESSION,
    problems.RATE_LIMITED,
    problems.INTERNAL,
    problems.STORE_UNAVAILABLE,
    problems.STORE_BUSY,
    problems.KEYS_UNAVAILABLE,
    problems.OVERLOADED,
    problems.DEADLINE_EXCEEDED,
)
_RANGE = (problems.SESSION_NOT_SATISFIED, *_COMMON)
_READ = (problems.RECORD_NOT_FOUND, problems.PRECONDITION_FAILED, *_RANGE)
_WRITE = (
    problems.WRONG_WRITE_MODE,
    problems.PRECONDITION_FAILED,
    problems.NOT_HOME,
    problems.IDEMPOTENCY_MISMATCH,
    problems.CLOCK_SKEW,
    problems.OUTCOME_UNKNOWN,
    *_COMMON,
)
_PUT = (problems.VALUE_TOO_LARGE, *_WRITE)
_PATCH = (problems.NOT_PATCHABLE, *_PUT)
_BATCH = (problems.VALUE_TOO_LARGE, *_COMMON)
_CHANGES = (
    problems.UNAUTHENTICATED,
    problems.UNKNOWN_ROUTE,
    problems.INVALID_REQUEST,
    problems.INTERNAL,
    problems.STORE_UNAVAILABLE,
    problems.STORE_BUSY,
    problems.UNAVAILABLE,
)

_ALWAYS = ("KV-Session", "KV-Deadline-Ms", "KV-Priority")
_CONDITIONS = ("If-Match", "If-None-Match")
_FOUND = ("ETag", "Age", "KV-Stale", "KV-TTL", "KV-Session", "KV-Session-Satisfied")
_SESSION = ("KV-Session", "KV-Session-Satisfied")
_DONE = ("KV-Session", "Idempotency-Replayed")
_ANY_CONTENT: Json = {"*/*": {"schema": {**TEXT, "format": "binary"}, "example": "world"}}
_KEY: Json = {"id": "user/7", "item": "name"}
_SHOWN: Json = {"version": "1795371146311532", "contentType": "text/plain", "value": "d29ybGQ="}


def document(limits: Limits, build: str) -> Json:
    own, item = PATHS
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "KVCluster",
            "version": build,
            "summary": "Records by namespace and id, in a region near you.",
            "description": "An id or an item is one segment of the path, its / is written %2F. "
            "Whatever goes wrong is a problem (RFC 9457); docs/service-api.md has a section for each.",
        },
        "security": [{}, {"bearer": []}],
        "paths": {
            own: _record("", ("ns", "id")),
            item: _record("Item", ("ns", "id", "item")),
            items.PATH: {"get": _list_items()},
            GET_PATH: {"post": _batch_get()},
            WRITE_PATH: {"post": _batch_write()},
            changes.PATH: {"get": _read_changes()},
            "/openapi.json": {"get": _describe()},
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "parameters": parts.parameters(limits),
            "headers": parts.headers(),
            "schemas": parts.schemas(),
        },
    }


def _record(suffix: str, names: tuple[str, ...]) -> Json:
    """The operations of a record's address; `suffix` tells those of an item's from those of an id's own value."""
    what = "an item" if suffix else "a record"
    reading = (*names, *_CONDITIONS, *_ALWAYS, "KV-Consistency")
    deleting = (*names, *_CONDITIONS, *_ALWAYS, "Idempotency-Key")
    writing = (*deleting, "KV-TTL")
    found = {"304": _answer("If-None-Match names the present version", _FOUND), **parts.answers(*_READ)}
    written = {
        "201": _answer("Created", ("ETag", *_DONE)),
        "204": _answer("Replaced", ("ETag", *_DONE)),
    }
    value = _answer("The value", _FOUND)
    patch = {kind: {"schema": {}, "example": {"name": "Ada", "nick": None}} for kind in PATCH_TYPES}
    return {
        "get": _operation(
            "read", suffix, f"Read {what}", reading, {"200": {**value, "content": _ANY_CONTENT}, **found}
        ),
        "head": _operation("head", suffix, f"Look at {what}", reading, {"200": value, **found}),
        "put": _operation("write", suffix, f"Write {what}", writing, {**written, **parts.answers(*_PUT)}, _ANY_CONTENT),
        "patch": _operation(
            "patch",
            suffix,
            f"Merge into {what} of JSON (RFC 7396)",
            writing,
            {**written, **parts.answers(*_PATCH)},
            patch,
        ),
        "delete": _operation(
            "delete",
            suffix,
            f"Delete {what}",
            deleting,
            {"204": _answer("There is none (any more)", _DONE), **parts.answers(*_WRITE)},
        ),
    }


def _list_items() -> Json:
    names = ("ns", "id", "items.prefix", "items.after", "items.limit", "items.page", *_ALWAYS, "KV-Consistency")
    example = {"items": [{"item": "name", **_SHOWN}], "next": None}
    page = _json(_answer("A page; `next` is null on the last", _SESSION), "Items", example)
    return _operation("list", "Items", "List the items of an id", names, {"200": page, **parts.answers(*_RANGE)})


def _batch_get() -> Json:
    example = {"results": [{**_KEY, "status": 200, **_SHOWN}]}
    found = _json(_answer("An outcome for each key, in order", _SESSION), "BatchFound", example)
    body = {"application/json": {"schema": ref("schemas", "BatchGet"), "example": {"keys": [_KEY]}}}
    names = ("ns", *_ALWAYS, "KV-Consistency")
    return _operation("batch", "Get", "Read up to 100", names, {"200": found, **parts.answers(*_BATCH)}, body)


def _batch_write() -> Json:
    writes = [{"op": "put", **_KEY, "value": "d29ybGQ=", "contentType": "text/plain"}, {"op": "delete", "id": "old"}]
    results = [{**_KEY, "status": 201, "version": "1795371146311532"}, {"id": "old", "status": 204}]
    done = _json(_answer("An outcome for each write, in order", ("KV-Session",)), "BatchWritten", {"results": results})
    body = {"application/json": {"schema": ref("schemas", "BatchWrite"), "example": {"writes": writes}}}
    names = ("ns", *_ALWAYS, "KV-TTL", "Idempotency-Key")
    return _operation("batch", "Write", "Write up to 100", names, {"200": done, **parts.answers(*_BATCH)}, body)


def _read_changes() -> Json:
    change = {"namespace": "demo", **_KEY, **_SHOWN, "region": "eu", "deleted": False, "expiresUs": 0, "seen": {}}
    page = _json(_answer("Changes, oldest first"), "Changes", {"changes": [change], "next": "17", "lost": False})
    names = ("changes.after", "changes.limit", "changes.waitMs")
    operation = _operation("read", "Changes", "Follow the changes", names, {"200": page, **parts.answers(*_CHANGES)})
    return {**operation, "security": [{"bearer": []}]}


def _describe() -> Json:
    content = {"application/json": {"schema": {"type": "object"}}}
    described = {"description": "This document", "content": content}
    return {**_operation("describe", "", "Read this document", (), {"200": described}), "security": []}


def _operation(verb: str, noun: str, summary: str, names: tuple[str, ...], responses: Json, body: Any = None) -> Json:
    return {
        "operationId": verb + (noun or "Record"),
        "summary": summary,
        "parameters": [ref("parameters", name) for name in names],
        **({"requestBody": {"required": True, "content": body}} if body else {}),
        "responses": responses,
    }


def _answer(description: str, headers: tuple[str, ...] = ()) -> Json:
    return {"description": description, "headers": {name: ref("headers", name) for name in headers}}


def _json(answer: Json, schema: str, example: Json) -> Json:
    return {**answer, "content": {"application/json": {"schema": ref("schemas", schema), "example": example}}}


if __name__ == "__main__":
    # With the default limits of kvservice.settings, which this room may not import; a test holds them together.
    print(json.dumps(document(Limits(id_bytes=512, value_bytes=2**20), version("kvcluster")), indent=2))

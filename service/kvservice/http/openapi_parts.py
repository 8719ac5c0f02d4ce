"""What the operations of the OpenAPI document share: parameters, headers, schemas, and answers that are problems."""

from collections.abc import Set
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from kvservice.core.namespaces import NAME_PATTERN
from kvservice.core.request import Consistency, Priority
from kvservice.http import changes, items, problems
from kvservice.http.batch import BASE64_PATTERN, BatchGet, BatchWrite
from kvservice.http.door import Limits
from kvservice.http.headers import MAX_DEADLINE_MS, MAX_IDEMPOTENCY_KEY, MAX_TTL_S
from kvservice.http.problems import Kind

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
_VERSION: Json = {"type": "string", "pattern": "^[0-9]+$", "description": "A version, in decimal"}
_BASE64: Json = {"type": "string", "contentEncoding": "base64", "pattern": BASE64_PATTERN}
_SECONDS: Json = {"type": "integer", "minimum": 0}
_STATUS: Json = {"type": "integer", "minimum": 200, "maximum": 599}
_TAGS: Json = {**TEXT, "description": "A list of ETags, or *", "examples": ["*", '"1795371146311532"']}
_VALUE: Json = {"version": _VERSION, "contentType": TEXT, "value": _BASE64, "ttlS": _SECONDS}


def ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def parameters(limits: Limits) -> Json:
    """By the names that operations refer to."""
    name = {"type": "string", "minLength": 1, "maxLength": limits.id_bytes}
    part = {"type": "string", "maxLength": limits.id_bytes}
    after = "Begin after this item; leave out with `page`"
    header: dict[str, tuple[str, Json]] = {
        "If-Match": ("Only if the present version is among these", _TAGS),
        "If-None-Match": ("Only if the present version is not among these", _TAGS),
        "KV-TTL": ("Seconds until it expires, 0 for never; else as the namespace says", _whole(0, MAX_TTL_S)),
        "KV-Session": ("Tokens as they were received, comma between them; empty begins a session", TEXT),
        "KV-Consistency": ("What the answer may miss", {"enum": list(Consistency), "default": Consistency.SESSION}),
        "KV-Deadline-Ms": ("How long the client waits", _whole(1, MAX_DEADLINE_MS)),
        "KV-Priority": ("What goes first when there is too much", {"enum": [each.name.lower() for each in Priority]}),
        "Idempotency-Key": (
            "Names the write: the same again is the same write, for 24 hours",
            {"type": "string", "pattern": f"^[!-~]{{1,{MAX_IDEMPOTENCY_KEY}}}$"},
        ),
    }
    query: dict[str, tuple[str, Json]] = {
        "prefix": ("Only items that begin with this", part),
        "after": (after, part),
        "limit": ("Items of a page", {**_whole(1, items.MAX_ITEMS), "default": items.DEFAULT_ITEMS}),
        "page": ("`next` of the page before", TEXT),
    }
    feed: dict[str, tuple[str, Json]] = {
        "after": ("`next` of the answer before; left out: the oldest change that is kept", TEXT),
        "limit": ("Changes of an answer", {**_whole(1, changes.MAX_CHANGES), "default": changes.DEFAULT_CHANGES}),
        "waitMs": ("How long to wait for a change if there is none", {**_whole(0, changes.MAX_WAIT_MS), "default": 0}),
    }
    return {
        "ns": _parameter("path", "ns", "Namespace", {"type": "string", "pattern": NAME_PATTERN}),
        "id": _parameter("path", "id", f"UTF-8 without NUL, {limits.id_bytes} bytes; / is written %2F", name),
        "item": _parameter("path", "item", f"UTF-8 without NUL, {limits.id_bytes} bytes; / is written %2F", name),
        **{name: _parameter("header", name, *about) for name, about in header.items()},
        **{f"items.{name}": _parameter("query", name, *about) for name, about in query.items()},
        **{f"changes.{name}": _parameter("query", name, *about) for name, about in feed.items()},
    }


def headers() -> Json:
    return {
        "ETag": {"description": 'The version, as "<decimal>"', "schema": TEXT},
        "Age": {"description": "Seconds since the store was asked; sent with cached copies", "schema": _SECONDS},
        "KV-Stale": {"description": "Seconds past freshness; sent with stale copies only", "schema": _SECONDS},
        "KV-TTL": {"description": "Seconds until it expires, if it does", "schema": _SECONDS},
        "KV-Session": {"description": "The session's new token", "schema": TEXT},
        "KV-Session-Satisfied": {"description": "This region is behind the session", "schema": {"const": "no"}},
        "Idempotency-Replayed": {"description": "The write was done before", "schema": {"const": "true"}},
        "Retry-After": {"description": "Seconds", "schema": _SECONDS},
        "Allow": {"description": "Methods that the address takes", "schema": TEXT},
        "WWW-Authenticate": {"description": "Bearer", "schema": {"const": "Bearer"}},
    }


def schemas() -> Json:
    asked = models_json_schema(
        [(BatchGet, "validation"), (BatchWrite, "validation")], ref_template="#/components/schemas/{model}"
    )[1]["$defs"]
    name = {"id": TEXT, "item": TEXT, "status": _STATUS, "problem": ref("schemas", "Problem")}
    about = {"ageS": _SECONDS, "staleS": _SECONDS, "sessionSatisfied": {"const": False}}
    change = {"namespace": TEXT, "id": TEXT, "item": TEXT, "region": TEXT, "deleted": {"type": "boolean"}}
    seen = {"type": "object", "additionalProperties": _VERSION}
    return {
        **asked,
        "Problem": _problem(),
        "Items": _object(items=_list(_object({"ttlS"}, item=TEXT, **_VALUE)), next={"type": ["string", "null"]}),
        "BatchFound": _object(
            results=_list(_object({*name, *_VALUE, *about} - {"id", "status"}, **name, **_VALUE, **about))
        ),
        "BatchWritten": _object(
            results=_list(
                _object({"item", "problem", "version", "replayed"}, **name, version=_VERSION, replayed={"const": True})
            )
        ),
        "Changes": _object(
            changes=_list(
                _object({"item"}, **change, **_without_ttl(), expiresUs={"type": "integer", "minimum": 0}, seen=seen)
            ),
            next=TEXT,
            lost={"type": "boolean"},
        ),
    }


def answers(*kinds: Kind) -> Json:
    """The `responses` of an operation for these problems."""
    documented: Json = {}
    for kind in sorted({*kinds}, key=lambda kind: (kind.status, kind.slug)):
        answer = documented.setdefault(str(kind.status), _answer(kind))
        answer["description"] += f" {kind.slug}"
    return documented


def _answer(kind: Kind) -> Json:
    sent = {401: ["WWW-Authenticate"], 412: ["ETag"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(kind.status, [])
    example = {**problems.Problem(kind, "what was seen, what was expected, what to do").body()}
    return {
        "description": f"{HTTPStatus(kind.status).phrase}:",
        **({"headers": {name: ref("headers", name) for name in sent}} if sent else {}),
        "content": {problems.MEDIA_TYPE: {"schema": ref("schemas", "Problem"), "example": example}},
    }


def _problem() -> Json:
    version = {"type": ["string", "null"], "description": "precondition-failed: the present version, null if none"}
    home = {**TEXT, "description": "not-home: the region that takes the writes"}
    uri = {"type": "string", "format": "uri"}
    return _object({"version", "home"}, type=uri, title=TEXT, status=_STATUS, detail=TEXT, version=version, home=home)


def _without_ttl() -> Json:
    return {name: schema for name, schema in _VALUE.items() if name != "ttlS"}


def _object(optional: Set[str] = frozenset(), /, **properties: Json) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list(of: Json) -> Json:
    return {"type": "array", "items": of}


def _whole(low: int, high: int) -> Json:
    return {"type": "integer", "minimum": low, "maximum": high}


def _parameter(where: str, name: str, description: str, schema: Json) -> Json:
    required = {"required": True} if where == "path" else {}
    return {"name": name, "in": where, **required, "description": description, "schema": schema}

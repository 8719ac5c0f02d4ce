"""What a client sees when it does not get what it asked for: RFC 9457 problems, one table of them all.

Each `type` has its section in docs/service-api.md.
"""

import json
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.responses import Response

from kvservice import errors
from kvservice.core.conditions import etag

TYPE_ROOT = "https://kvcluster.dev/problems/"
MEDIA_TYPE = "application/problem+json"
CLOSE = {"connection": "close"}
AGAIN = {"retry-after": "1"}


class Kind(NamedTuple):
    slug: str
    status: int
    title: str


UNKNOWN_ROUTE = Kind("unknown-route", 404, "There is nothing at this address")
RECORD_NOT_FOUND = Kind("record-not-found", 404, "There is no such record")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The address does not take this method")
PRECONDITION_FAILED = Kind("precondition-failed", 412, "The record is not in the state that the condition asks for")
VALUE_TOO_LARGE = Kind("value-too-large", 413, "The value is longer than allowed")
INVALID_REQUEST = Kind("invalid-request", 422, "The request breaks a rule")
INTERNAL = Kind("internal", 500, "The service failed")
STORE_UNAVAILABLE = Kind("store-unavailable", 503, "The store cannot be reached")
STORE_BUSY = Kind("store-busy", 503, "Too many requests wait for the store")
CLOCK_SKEW = Kind("clock-skew", 503, "The clocks of the pods disagree")

KINDS = (
    UNKNOWN_ROUTE,
    RECORD_NOT_FOUND,
    METHOD_NOT_ALLOWED,
    PRECONDITION_FAILED,
    VALUE_TOO_LARGE,
    INVALID_REQUEST,
    INTERNAL,
    STORE_UNAVAILABLE,
    STORE_BUSY,
    CLOCK_SKEW,
)


def problem(kind: Kind, detail: str, headers: dict[str, str] | None = None, **members: Any) -> Response:
    body = {"type": TYPE_ROOT + kind.slug, "title": kind.title, "status": kind.status, "detail": detail, **members}
    return Response(json.dumps(body), kind.status, headers, MEDIA_TYPE)


def internal() -> Response:
    return problem(INTERNAL, "the cause is in this pod's log; try again")


def unknown_route(path: str) -> Response:
    return problem(UNKNOWN_ROUTE, f"{path!r} is no address of this service; records are at /v1/kv/{{namespace}}/{{id}}")


def of(error: errors.KvError) -> Response:
    """The answer to an error of the service."""
    text = str(error)
    match error:
        case errors.PreconditionFailed(present=None):
            return problem(PRECONDITION_FAILED, text, version=None)
        case errors.PreconditionFailed(present=int(version)):
            return problem(PRECONDITION_FAILED, text, {"etag": etag(version)}, version=str(version))
        case errors.ValueTooLarge():
            return problem(VALUE_TOO_LARGE, text, CLOSE)  # the rest of the body is not read
        case errors.InvalidRequest():
            return problem(INVALID_REQUEST, text)
        case errors.StoreUnavailable():
            return problem(STORE_UNAVAILABLE, text, AGAIN)
        case errors.StoreBusy():
            return problem(STORE_BUSY, text, AGAIN)
        case errors.ClockSkew():
            return problem(CLOCK_SKEW, text, AGAIN)
        case _:
            raise error


def schema() -> dict[str, Any]:
    """JSON schema of a problem, for OpenAPI."""
    text = {"type": "string"}
    version = {"type": ["string", "null"], "description": "precondition-failed: the present version"}
    properties = {"type": {"type": "string", "format": "uri"}, "title": text, "detail": text}
    return {
        "type": "object",
        "properties": {**properties, "status": {"type": "integer"}, "version": version},
        "required": ["type", "title", "status", "detail"],
    }


def responses(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an OpenAPI operation for these problems."""
    documented: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        description = documented.get(kind.status, {}).get("description")
        documented[kind.status] = {
            "description": f"{description}; {kind.slug}"
            if description
            else f"{HTTPStatus(kind.status).phrase}: {kind.slug}",
            "content": {MEDIA_TYPE: {"schema": schema()}},
        }
    return documented

"""What a client sees when it does not get what it asked for: RFC 9457 problems, one table of them all.

Each `type` has its section in docs/service-api.md.
"""

import json
from collections.abc import Mapping
from math import ceil
from types import MappingProxyType
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
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The address does not take this method")
RECORD_NOT_FOUND = Kind("record-not-found", 404, "There is no such record")
INTERNAL = Kind("internal", 500, "The service failed")

INVALID_REQUEST = Kind("invalid-request", 422, "The request breaks a rule")
INVALID_SESSION = Kind("invalid-session", 422, "The session token does not hold")
IDEMPOTENCY_MISMATCH = Kind("idempotency-mismatch", 422, "The Idempotency-Key belongs to another request")
UNAUTHENTICATED = Kind("unauthenticated", 401, "It is not known who asks")
FORBIDDEN = Kind("forbidden", 403, "Who asks may not do this here")
UNKNOWN_NAMESPACE = Kind("unknown-namespace", 404, "There is no such namespace")
VALUE_TOO_LARGE = Kind("value-too-large", 413, "The value is longer than allowed")
PRECONDITION_FAILED = Kind("precondition-failed", 412, "The record is not in the state that the condition asks for")
WRONG_WRITE_MODE = Kind("wrong-write-mode", 409, "The namespace takes plain writes only")
NOT_HOME = Kind("not-home", 421, "The namespace is written in another region")
NOT_PATCHABLE = Kind("not-patchable", 409, "The record's value is no JSON")
SESSION_NOT_SATISFIED = Kind("session-not-satisfied", 409, "This region is behind what the session has seen")
RATE_LIMITED = Kind("rate-limited", 429, "The namespace's share is used up")
DEADLINE_EXCEEDED = Kind("deadline-exceeded", 504, "The request's time is over")
OUTCOME_UNKNOWN = Kind("outcome-unknown", 504, "Whether the write was done is not known")
STORE_UNAVAILABLE = Kind("store-unavailable", 503, "The store cannot be reached")
STORE_BUSY = Kind("store-busy", 503, "Too many requests wait for the store")
KEYS_UNAVAILABLE = Kind("keys-unavailable", 503, "The token cannot be checked now")
OVERLOADED = Kind("overloaded", 503, "Too many requests are under way")
UNAVAILABLE = Kind("unavailable", 503, "It cannot be had now")
CLOCK_SKEW = Kind("clock-skew", 503, "The clocks disagree")

_BY_ERROR: dict[type[errors.KvError], Kind] = {
    errors.InvalidRequest: INVALID_REQUEST,
    errors.InvalidSession: INVALID_SESSION,
    errors.IdempotencyMismatch: IDEMPOTENCY_MISMATCH,
    errors.Unauthenticated: UNAUTHENTICATED,
    errors.Forbidden: FORBIDDEN,
    errors.UnknownNamespace: UNKNOWN_NAMESPACE,
    errors.ValueTooLarge: VALUE_TOO_LARGE,
    errors.PreconditionFailed: PRECONDITION_FAILED,
    errors.WrongWriteMode: WRONG_WRITE_MODE,
    errors.NotHome: NOT_HOME,
    errors.NotPatchable: NOT_PATCHABLE,
    errors.SessionNotSatisfied: SESSION_NOT_SATISFIED,
    errors.RateLimited: RATE_LIMITED,
    errors.DeadlineExceeded: DEADLINE_EXCEEDED,
    errors.OutcomeUnknown: OUTCOME_UNKNOWN,
    errors.StoreUnavailable: STORE_UNAVAILABLE,
    errors.StoreBusy: STORE_BUSY,
    errors.KeysUnavailable: KEYS_UNAVAILABLE,
    errors.Overloaded: OVERLOADED,
    errors.ClockSkew: CLOCK_SKEW,
    errors.Unavailable: UNAVAILABLE,
}
KINDS = (UNKNOWN_ROUTE, METHOD_NOT_ALLOWED, RECORD_NOT_FOUND, INTERNAL, *_BY_ERROR.values())


class Problem(NamedTuple):
    """`members`: beyond those that all problems have."""

    kind: Kind
    detail: str
    members: Mapping[str, Any] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})

    def body(self) -> dict[str, Any]:
        kind = self.kind
        head = {"type": TYPE_ROOT + kind.slug, "title": kind.title, "status": kind.status, "detail": self.detail}
        return {**head, **self.members}

    def response(self) -> Response:
        return Response(json.dumps(self.body()), self.kind.status, self.headers, MEDIA_TYPE)


def internal() -> Problem:
    return Problem(INTERNAL, "the cause is in this pod's log; try again")


def unknown_route(path: str) -> Problem:
    known = "records are at /v1/kv/{namespace}/{id}, all addresses in /openapi.json"
    return Problem(UNKNOWN_ROUTE, f"{path!r} is no address of this service; {known}")


def record_not_found(what: str) -> Problem:
    return Problem(RECORD_NOT_FOUND, f"there is no record {what}")


def of(error: errors.KvError) -> Problem:
    """What to answer to an error of the service; raises it if it is none that a client should see."""
    kind = next((_BY_ERROR[each] for each in type(error).__mro__ if each in _BY_ERROR), None)
    if kind is None:
        raise error
    return Problem(kind, str(error), *_extras(error))


def _extras(error: errors.KvError) -> tuple[dict[str, Any], dict[str, str]]:
    """-> members, headers."""
    match error:
        case errors.PreconditionFailed(present=None):
            return {"version": None}, {}
        case errors.PreconditionFailed(present=int(version)):
            return {"version": str(version)}, {"etag": etag(version)}
        case errors.NotHome(home=home):
            return {"home": home}, {}
        case errors.RateLimited(retry_after_s=seconds):
            return {}, {"retry-after": str(max(1, ceil(seconds)))}
        case errors.Unavailable():
            return {}, AGAIN
        case errors.Unauthenticated():
            return {}, {"www-authenticate": "Bearer"}
        case errors.ValueTooLarge():
            return {}, CLOSE  # the rest of the body is not read
        case _:
            return {}, {}

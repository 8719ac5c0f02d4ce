"""Every error of the service, as one tree. `kvservice.http.problems` says how a client sees each.

KvError
├── SettingsError            wrong KV_* variables, or files that they name: exit 2
├── StartError               a port or the store cannot be had, or its schema is not there: exit 1
├── MigrationError           the schema cannot be brought to where this build needs it: exit 1
├── InvalidRequest           namespace, id, item, body or header breaks a rule
│   ├── InvalidSession       the session token is not ours, or too old
│   └── IdempotencyMismatch  the Idempotency-Key belongs to another request
├── Unauthenticated          no token, or one that does not hold
├── Forbidden                the subject may not do this here
├── UnknownNamespace         the namespace is not among the configured ones
├── ValueTooLarge            the body is longer than the limit
├── PreconditionFailed       If-Match or If-None-Match does not hold
├── WrongWriteMode           a condition or a PATCH in a namespace of plain writes
├── NotHome                  the namespace's writes belong to another region
├── NotPatchable             the record's value is no JSON, so it cannot be merged
├── SessionNotSatisfied      this region is behind what the session has seen
├── RateLimited              the namespace's share of this pod is used up
├── DeadlineExceeded         the request's time is over
├── OutcomeUnknown           a write that timed out and could not be settled
├── Unavailable              try again later
│   ├── StoreUnavailable     the store fails or is out of reach
│   ├── StoreBusy            too many operations wait for the store
│   ├── KeysUnavailable      the keys that a token's signature is checked with cannot be had
│   ├── Overloaded           too many requests are under way in this pod
│   └── ClockSkew            a version would lie too far ahead of the clocks around
├── CacheUnavailable         the cache fails; clients never see it
└── EnvelopeError            bytes that are no envelope of this build
"""

# ruff: noqa: N818 - errors are named by the fact


class KvError(Exception):
    """Root; the message says what was seen, what was expected, what to do."""


class SettingsError(KvError):
    pass


class StartError(KvError):
    pass


class MigrationError(KvError):
    pass


class InvalidRequest(KvError):
    pass


class InvalidSession(InvalidRequest):
    pass


class IdempotencyMismatch(InvalidRequest):
    pass


class Unauthenticated(KvError):
    pass


class Forbidden(KvError):
    pass


class UnknownNamespace(KvError):
    pass


class ValueTooLarge(KvError):
    pass


class PreconditionFailed(KvError):
    """`present` is the record's version, None if there is no record."""

    def __init__(self, present: int | None) -> None:
        self.present = present
        super().__init__(
            "there is no record that the condition could hold for"
            if present is None
            else f"the present version is {present}; read the record again and decide anew"
        )


class WrongWriteMode(KvError):
    pass


class NotHome(KvError):
    """`home` is the region that takes the namespace's writes."""

    def __init__(self, namespace: str, home: str) -> None:
        self.home = home
        super().__init__(f"writes to namespace {namespace!r} are taken in region {home}; send it there")


class NotPatchable(KvError):
    pass


class SessionNotSatisfied(KvError):
    pass


class RateLimited(KvError):
    """`retry_after_s`: when there is room again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class DeadlineExceeded(KvError):
    pass


class OutcomeUnknown(KvError):
    pass


class Unavailable(KvError):
    pass


class StoreUnavailable(Unavailable):
    pass


class StoreBusy(Unavailable):
    pass


class KeysUnavailable(Unavailable):
    pass


class Overloaded(Unavailable):
    pass


class ClockSkew(Unavailable):
    pass


class CacheUnavailable(KvError):
    pass


class EnvelopeError(KvError):
    pass

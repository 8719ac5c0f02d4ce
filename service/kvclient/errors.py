"""Every error of the client, as one tree.

KvClientError
├── ClientClosed             the client was closed, or came here with a fork
├── DeadlineExceeded         the call's time is over; nothing was written
├── Unavailable              no region could answer; nothing was written
├── OutcomeUnknown           a write was sent, and nobody can say whether it was done
└── Rejected                 the service understood, and refuses; nothing was written
    ├── Unauthenticated      401: no token, or one that does not hold
    ├── Forbidden            403: the subject may not do this in this namespace
    ├── NotHome              421: the namespace is written in a region that the client does not know
    ├── PreconditionFailed   412: the record is not as `if_match` or `create_only` asks
    ├── SessionNotSatisfied  409: the region is still behind what the session has seen
    └── RateLimited          429: the namespace's share is used up

Misuse (an empty id, a value that is no bytes) is ValueError or TypeError, as everywhere in Python.
"""

# ruff: noqa: N818 - errors are named by the fact


class KvClientError(Exception):
    """Root; the message says what was seen, what was expected, what to do."""


class ClientClosed(KvClientError):
    pass


class DeadlineExceeded(KvClientError):
    pass


class Unavailable(KvClientError):
    pass


class OutcomeUnknown(KvClientError):
    """`idempotency_key`: the same write with this key, to the same region and within 24 hours, is the same write:
    that settles it."""

    def __init__(self, message: str, idempotency_key: str) -> None:
        self.idempotency_key = idempotency_key
        super().__init__(message)


class Rejected(KvClientError):
    """`status` is HTTP's, `problem` the last part of the problem's type ("" if the answer was none of the service's),
    `detail` its sentence."""

    def __init__(self, status: int, problem: str, detail: str) -> None:
        self.status = status
        self.problem = problem
        self.detail = detail
        super().__init__(f"{status} {problem}: {detail}" if problem else f"{status}: {detail}")


class Unauthenticated(Rejected):
    pass


class Forbidden(Rejected):
    pass


class NotHome(Rejected):
    """`home`: the region that takes the writes."""

    def __init__(self, status: int, problem: str, detail: str, home: str) -> None:
        self.home = home
        super().__init__(status, problem, detail)


class PreconditionFailed(Rejected):
    """`present_version`: of the record, None if there is none."""

    def __init__(self, status: int, problem: str, detail: str, present_version: int | None) -> None:
        self.present_version = present_version
        super().__init__(status, problem, detail)


class SessionNotSatisfied(Rejected):
    pass


class RateLimited(Rejected):
    """`retry_after_s`: when there is room again, None if the service did not say."""

    def __init__(self, status: int, problem: str, detail: str, retry_after_s: float | None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(status, problem, detail)

"""The door: what every data request passes before its use case. Who asks, where, whether that is allowed, how it is to
be done, and whether there is room; and the deadline that holds inside."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple, TypeVar

from starlette.requests import Request

from kvservice.core.admission import Admission
from kvservice.core.namespaces import ANYONE, Namespace, Namespaces
from kvservice.core.request import Context, Deadline
from kvservice.core.session import Sessions
from kvservice.errors import DeadlineExceeded, Forbidden
from kvservice.http import headers, names
from kvservice.http.auth import Authenticator

T = TypeVar("T")


class Doing(StrEnum):
    READ = "read"
    WRITE = "write"


class Limits(NamedTuple):
    id_bytes: int
    value_bytes: int


class Asked(NamedTuple):
    """`namespace`: the policy that holds, which may be the one for all that are not listed."""

    sent: headers.Sent
    namespace: Namespace
    context: Context


class Door:
    """`deadline_s`: of requests that name none."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        namespaces: Namespaces,
        sessions: Sessions,
        admission: Admission,
        limits: Limits,
        deadline_s: float,
    ) -> None:
        self._authenticator = authenticator
        self._namespaces = namespaces
        self._sessions = sessions
        self._admission = admission
        self._deadline_s = deadline_s
        self.limits = limits

    async def asked(self, request: Request, doing: Doing) -> Asked:
        sent = headers.Sent(request.scope["headers"])
        deadline = headers.deadline(sent, self._deadline_s)
        subject = await _in_time(
            deadline,
            self._authenticator.subject(sent.one("authorization")),
            "the token could not be checked by the deadline; nothing was done",
        )
        name = names.namespace(request.path_params["ns"])
        policy = self._namespaces.of(name)
        allowed = policy.access.read if doing is Doing.READ else policy.access.write
        if subject not in allowed and ANYONE not in allowed:
            raise Forbidden(f"{subject!r} may not {doing} in namespace {name!r}; its access.{doing} does not list it")
        return Asked(sent, policy, headers.context(sent, self._sessions, subject, deadline))

    @contextmanager
    def room(self, asked: Asked) -> Iterator[None]:
        """A place among the requests under way. Raises Overloaded, RateLimited."""
        with self._admission.of(asked.namespace, asked.context.priority):
            yield

    def value_limit(self, asked: Asked) -> int:
        """Bytes of a value."""
        return min(asked.namespace.value_bytes or self.limits.value_bytes, self.limits.value_bytes)


async def arrived(deadline: Deadline, body: Awaitable[T]) -> T:
    return await _in_time(deadline, body, "the body had not arrived by the deadline; nothing was done")


async def answered(deadline: Deadline, doing: Doing, work: Awaitable[T]) -> T:
    """Raises DeadlineExceeded, which says what is known then. A write that has reached the store goes on."""
    if doing is Doing.READ:
        return await _in_time(deadline, work, "the answer was not found by the deadline; ask again, or allow more time")
    return await _in_time(
        deadline,
        work,
        "the write was not acknowledged by the deadline, and whether it was done is unknown; "
        "send it again with the same Idempotency-Key to find out",
    )


async def _in_time(deadline: Deadline, work: Awaitable[T], late: str) -> T:
    try:
        async with asyncio.timeout_at(deadline.at_s) as scope:
            return await work
    except TimeoutError:
        if not scope.expired():
            raise
        raise DeadlineExceeded(late) from None

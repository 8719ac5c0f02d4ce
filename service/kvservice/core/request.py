"""What comes with every request beside its key: session, consistency, deadline, conditions, idempotency."""

import asyncio
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from kvservice.core.conditions import Conditions
from kvservice.core.session import Session
from kvservice.errors import DeadlineExceeded


class Consistency(StrEnum):
    ONE = "one"
    """Whatever is nearest; a session is not looked at."""
    SESSION = "session"
    """Nothing older than what the session has seen."""
    QUORUM = "quorum"
    """What is acknowledged in this region, read from the store."""


class Priority(IntEnum):
    LOW = 0
    NORMAL = 1
    HIGH = 2


@dataclass(frozen=True, slots=True)
class Deadline:
    """`at_s` is in the event loop's time."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        return cls(asyncio.get_running_loop().time() + seconds)

    def left_s(self) -> float:
        """Negative when it has passed."""
        return self.at_s - asyncio.get_running_loop().time()

    def answer_by_s(self) -> float:
        """When to stop, so that what there is by then can still be told: a fifth of the time left, at most 50 ms."""
        return self.at_s - min(0.05, 0.2 * max(0.0, self.left_s()))

    def check(self) -> None:
        if self.left_s() <= 0:
            raise DeadlineExceeded("the deadline has passed before the request was begun; nothing was done")


@dataclass(frozen=True, slots=True)
class Context:
    """`subject`: who asks. `idempotency_key`: None if the client sent none. `ttl_s`: of what is written; None: as the
    namespace says; 0: for ever. The session learns what the request sees."""

    deadline: Deadline
    session: Session
    subject: str = ""
    consistency: Consistency = Consistency.SESSION
    priority: Priority = Priority.NORMAL
    conditions: Conditions = field(default_factory=Conditions)
    idempotency_key: str | None = None
    ttl_s: int | None = None

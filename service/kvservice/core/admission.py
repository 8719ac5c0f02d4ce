"""Admission: how much is let in. A bound on requests under way, of which the less urgent get a part only, and a token
bucket for each namespace that has a limit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kvservice.core.namespaces import Namespace
from kvservice.core.request import Priority
from kvservice.errors import Overloaded, RateLimited

SHARE = {Priority.LOW: 0.5, Priority.NORMAL: 0.9, Priority.HIGH: 1.0}  # of the bound, beyond which it is refused


@dataclass
class _Bucket:
    """Holds what one second gives, and at least one request."""

    tokens: float
    filled_s: float

    def take(self, per_second: float, now_s: float) -> float:
        """-> 0 for a token taken, else the seconds until there is one."""
        earned = max(0.0, now_s - self.filled_s) * per_second
        self.tokens = min(max(1.0, per_second), self.tokens + earned)
        self.filled_s = now_s
        if self.tokens < 1:
            return (1 - self.tokens) / per_second
        self.tokens -= 1
        return 0.0


class Admission:
    """`now_s`: a clock that never goes back, in seconds."""

    def __init__(self, max_in_flight: int, now_s: Callable[[], float]) -> None:
        self._max_in_flight = max_in_flight
        self._now_s = now_s
        self._in_flight = 0
        self._buckets: dict[str, _Bucket] = {}  # by the policy's name: those not listed share one

    @contextmanager
    def of(self, namespace: Namespace, priority: Priority) -> Iterator[None]:
        """Room for one request, for as long as the context lasts. Raises Overloaded, RateLimited."""
        if self._in_flight >= self._max_in_flight * SHARE[priority]:
            raise Overloaded(
                f"{self._in_flight} requests are under way in this pod, too many for one of {priority.name.lower()} "
                "priority; try again later, or in another pod"
            )
        if namespace.requests_per_second:
            self._take(namespace)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def _take(self, namespace: Namespace) -> None:
        rate, now_s = namespace.requests_per_second, self._now_s()
        bucket = self._buckets.setdefault(namespace.name, _Bucket(max(1.0, rate), now_s))
        if wait_s := bucket.take(rate, now_s):
            raise RateLimited(
                f"namespace {namespace.name!r} takes {rate:g} requests a second in each pod; "
                f"try again in {wait_s:.3g} s",
                wait_s,
            )

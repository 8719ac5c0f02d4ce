"""A circuit breaker: after some failures in a row it refuses for a while, then lets one try through at a time."""

from collections.abc import Callable

FAILURES = 5  # in a row: one lost connection is no outage
PAUSE_S = 0.5  # the price of an outage is one slow try in this time, not one a request


class Breaker:
    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._failures = 0
        self._refuses_until_s = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES

    def admits(self) -> bool:
        if not self.is_open:
            return True
        now_s = self._now_s()
        if now_s < self._refuses_until_s:
            return False
        self._refuses_until_s = now_s + PAUSE_S  # the one that got in; the next has to wait again
        return True

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
        if self.is_open:
            self._refuses_until_s = self._now_s() + PAUSE_S

"""A circuit breaker: when nothing has gone well for a while it refuses, and lets one try through now and then."""

from collections.abc import Callable

FAILURES = 5  # in a row: one lost connection is no outage
SPAN_S = 0.05  # the row must last that long: when this process stalls, all that is under way fails in one moment
PAUSE_S = 0.5  # the price of an outage is one slow try in this time, not one a request


class Breaker:
    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._failures = 0
        self._row_began_s = 0.0
        self._refuses_until_s = 0.0
        self._trying = False
        self.is_open = False

    def admits(self) -> bool:
        if not self.is_open:
            return True
        now_s = self._now_s()
        if now_s < self._refuses_until_s:
            return False
        self._refuses_until_s = now_s + PAUSE_S  # the one that got in; the next has to wait again
        self._trying = True
        return True

    def succeeded(self) -> None:
        if self.is_open and not self._trying:
            return  # it began before the outage
        self._failures = 0
        self.is_open = self._trying = False

    def failed(self) -> None:
        now_s = self._now_s()
        if not self._failures:
            self._row_began_s = now_s
        self._failures += 1
        self._trying = False
        if self._failures >= FAILURES and now_s - self._row_began_s >= SPAN_S:
            self.is_open = True
            self._refuses_until_s = now_s + PAUSE_S

"""How much more than its requests a client may send, and when a second copy of one is worth it. Pure."""

from bisect import bisect_left, insort
from collections import deque

RETRY_SHARE, RETRY_CAP = 0.10, 10.0
HEDGE_SHARE, HEDGE_CAP = 0.02, 5.0
WINDOW = 256  # latencies remembered
ENOUGH = 50  # of them, before a 95th percentile means something


class Budget:
    """A token bucket filled by requests, not by time: taken <= filled at first + share * requests, at any moment."""

    def __init__(self, share: float, cap: float, filled: float) -> None:
        self._share = share
        self._cap = cap
        self._tokens = filled

    def request(self) -> None:
        self._tokens = min(self._cap, self._tokens + self._share)

    def take(self) -> bool:
        """Whether one more may be sent."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def retry_budget() -> Budget:
    """Full at first: a client that has just begun may retry, too."""
    return Budget(RETRY_SHARE, RETRY_CAP, RETRY_CAP)


def hedge_budget() -> Budget:
    """Empty at first, so that the share holds from the first request on."""
    return Budget(HEDGE_SHARE, HEDGE_CAP, 0.0)


class Latencies:
    """The last WINDOW latencies of one kind of operation in one region, seconds."""

    def __init__(self) -> None:
        self._by_age: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, latency_s: float) -> None:
        if len(self._by_age) == WINDOW:
            del self._sorted[bisect_left(self._sorted, self._by_age.popleft())]
        self._by_age.append(latency_s)
        insort(self._sorted, latency_s)

    def p95(self) -> float | None:
        """None before there are ENOUGH."""
        return self._sorted[len(self._sorted) * 95 // 100] if len(self._sorted) >= ENOUGH else None

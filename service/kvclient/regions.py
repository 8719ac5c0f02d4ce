"""The regions that a client knows: which of them to ask now. Pure: the time comes in."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

FAILURES = 5  # in a row, of requests that reached the region
OPEN_S = 2.0  # how long a region that fails is left alone, before one request tries it again
_HOMES = 1_000  # namespaces whose home is remembered


class Breaker:
    """Left alone after FAILURES in a row, or one refused connection; then one request each OPEN_S goes through, and
    the first that succeeds ends it."""

    def __init__(self) -> None:
        self._failures = 0
        self._open_until_s: float | None = None

    def is_closed(self) -> bool:
        return self._open_until_s is None

    def admit(self, now_s: float) -> bool:
        """Whether a request may go there; one that probes makes the others wait for what comes of it."""
        if self._open_until_s is None:
            return True
        if now_s < self._open_until_s:
            return False
        self._open_until_s = now_s + OPEN_S
        return True

    def succeeded(self) -> None:
        self._failures = 0
        self._open_until_s = None

    def failed(self, now_s: float, *, at_once: bool) -> None:
        self._failures += 1
        if at_once or self._failures >= FAILURES or self._open_until_s is not None:
            self._open_until_s = now_s + OPEN_S


class Regions:
    """`names`: nearest first."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._breakers = {name: Breaker() for name in names}
        self._homes: OrderedDict[str, str] = OrderedDict()

    def choose(self, namespace: str, now_s: float, *, is_write: bool, failures: Mapping[str, int]) -> str:
        """The nearest region that does not fail, for writes the namespace's home before it; but first the regions
        with the fewest `failures` of this call. If all fail, the first in that order."""
        home = self._homes.get(namespace) if is_write else None
        order = sorted(self.names, key=lambda name: (failures.get(name, 0), name != home))  # stable: nearest first
        return next((name for name in order if self._breakers[name].admit(now_s)), order[0])

    def remember_home(self, namespace: str, region: str) -> None:
        self._homes[namespace] = region
        self._homes.move_to_end(namespace)
        if len(self._homes) > _HOMES:
            self._homes.popitem(last=False)

    def succeeded(self, region: str) -> None:
        self._breakers[region].succeeded()

    def failed(self, region: str, now_s: float, *, at_once: bool = False) -> None:
        """`at_once`: nobody listens there."""
        self._breakers[region].failed(now_s, at_once=at_once)

"""Versions: a hybrid logical clock in microseconds whose low 8 bits are the writer slot.

A version is max(now, highest version seen for the key + one step), so it grows with every write of a key even when the
clock stands still or goes back. Kulkarni et al., "Logical Physical Clocks" (2014), with one number a key.

The slot is a hash of the pod's name, so pods may share one. They could tie only in plain writes of one record in a
stretch of 256 microseconds, and a tie ends the same everywhere: see `kvservice.core.envelope`. Updates give out
versions one after the other.
"""

import time
from collections.abc import Callable
from hashlib import blake2b

from kvservice.errors import ClockSkew

STEP = 256  # microseconds between two versions of one key: the slots lie in between
MAX_AHEAD_US = 500_000  # a version from the far future would hide every write until then


def system_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def writer_slot(pod: str) -> int:
    """0-255."""
    return blake2b(pod.encode(), digest_size=1).digest()[0]


class HybridClock:
    """`objection`: why no version may be made now, None if it may; see `kvservice.core.skew`. `refused` is called for
    each version that was not made, or not accepted."""

    def __init__(
        self,
        now_us: Callable[[], int],
        slot: int,
        objection: Callable[[], str | None] = lambda: None,
        refused: Callable[[], object] = lambda: None,
    ) -> None:
        self._now_us = now_us
        self._slot = slot
        self._objection = objection
        self._refused = refused

    def now_us(self) -> int:
        return self._now_us()

    def issue(self, highest: int) -> int:
        """A version above `highest` (0: the key was never seen). Raises ClockSkew if it would be too far ahead, or if
        the clock is not to be trusted."""
        now = self._now_us()
        version = max(now // STEP * STEP, highest // STEP * STEP + STEP) | self._slot
        objection = self._objection()
        if objection is None and version > now + MAX_AHEAD_US:
            objection = (
                f"the record's version {highest} is {(highest - now) / 1e6:.1f} s ahead of this pod's clock, "
                f"at most {MAX_AHEAD_US / 1e6} s is allowed; check the pods' clocks"
            )
        if objection is not None:
            self._refused()
            raise ClockSkew(objection)
        return version

    def accepts(self, version: int) -> bool:
        """Whether a version that came from elsewhere is not too far ahead."""
        is_sound = version <= self._now_us() + MAX_AHEAD_US
        if not is_sound:
            self._refused()
        return is_sound

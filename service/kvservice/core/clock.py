"""Versions: a hybrid logical clock in microseconds whose low 8 bits are the writer slot.

A version is max(now, highest version seen for the key + one step), so it grows with every write of a key even when the
clock stands still or goes back. Kulkarni et al., "Logical Physical Clocks" (2014), with one number a key.

The slot is a hash of the pod's name for now: two pods of one region may share it, and never tie, because the embedded
store gives out versions inside its write transactions, one after the other. Stores without such transactions need slots
that are leased.
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
    def __init__(self, now_us: Callable[[], int], slot: int) -> None:
        self._now_us = now_us
        self._slot = slot

    def issue(self, highest: int) -> int:
        """A version above `highest` (0: the key was never seen). Raises ClockSkew if it would be too far ahead."""
        now = self._now_us()
        version = max(now // STEP * STEP, highest // STEP * STEP + STEP) | self._slot
        if version > now + MAX_AHEAD_US:
            raise ClockSkew(
                f"the record's version {highest} is {(highest - now) / 1e6:.1f} s ahead of this pod's clock, "
                f"at most {MAX_AHEAD_US / 1e6} s is allowed; check the pods' clocks"
            )
        return version

    def accepts(self, version: int) -> bool:
        """Whether a version that came from elsewhere is not too far ahead."""
        return version <= self._now_us() + MAX_AHEAD_US

"""Conflicts: of two writes of one record neither knew the other, and the rule of versions drops one of them.

What a write knew is in its envelope: `seen`, the highest version of each other region among its ancestors, and its own
version for its own region, whose writes follow each other. See `kvservice.core.envelope` for the source.
"""

import logging
from collections.abc import Callable

from kvservice.core.envelope import NEVER_WRITTEN, Envelope, decode, newer
from kvservice.core.ports import Key
from kvservice.errors import EnvelopeError

log = logging.getLogger(__name__)


def seen_over(present: Envelope | None, here: str) -> dict[str, int]:
    """`seen` of a write of region `here` over what is there. A tombstone and an expired record count as there."""
    if present is None or present.version == NEVER_WRITTEN:
        return {}
    seen = {**present.seen, present.region: present.version}
    seen.pop(here, None)
    return seen


def descends(one: Envelope, other: Envelope) -> bool:
    """Whether `one` was written by who knew `other`, or is it."""
    if one.region == other.region:
        return one.version >= other.version
    return one.seen.get(other.region, NEVER_WRITTEN) >= other.version


def is_conflict(one: Envelope, other: Envelope) -> bool:
    return not descends(one, other) and not descends(other, one)


class Conflicts:
    """Counts and logs those that are met. `count` is called once for each."""

    def __init__(self, count: Callable[[], None]) -> None:
        self._count = count

    def meet(self, key: Key, one: bytes, other: bytes) -> None:
        """Two encoded envelopes of the record come together, in any order; any thread may say so."""
        winner, loser = (one, other) if newer(one, other) else (other, one)
        try:
            won, lost = decode(winner), decode(loser)
        except EnvelopeError:  # of a newer build, which judges it itself
            return
        if is_conflict(won, lost):
            self._count()
            fields = {**key._asdict(), "winner": str(won.version), "loser": str(lost.version)}
            log.warning("conflict", extra=fields)

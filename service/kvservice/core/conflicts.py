"""Conflicts: of two writes of one record neither knew the other, and the rule of versions drops one of them.

What a write knew is in its envelope: `seen`, the highest version of each other region among its ancestors, and its own
version for its own region, whose writes follow each other. Over another region's write it also keeps what that one knew
of its own region: what came after, and before that write, was replaced by it. `kvservice.core.envelope` has the source.
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
    if present.region == here:
        return dict(present.seen)
    return {**present.seen, present.region: present.version}


def descends(one: Envelope, other: Envelope) -> bool:
    """Whether `one` was written by who knew `other`, or is it."""
    if one.region == other.region:
        return one.version >= other.version
    return one.seen.get(other.region, NEVER_WRITTEN) >= other.version


def is_conflict(one: Envelope, other: Envelope) -> bool:
    return not descends(one, other) and not descends(other, one)


def overlooks(one: Envelope, other: Envelope) -> bool:
    """Whether another region's write, which did not know `other`, had replaced it before the same region wrote `one`.

    A store that replicates replaces writes where nobody sees it."""
    if one.region != other.region:
        return False
    known = one.seen.get(one.region, NEVER_WRITTEN)
    replaced_by = max((version for region, version in one.seen.items() if region != one.region), default=NEVER_WRITTEN)
    return known < other.version < replaced_by


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
        if is_conflict(won, lost) or overlooks(won, lost):
            self._count()
            fields = {**key._asdict(), "winner": str(won.version), "loser": str(lost.version)}
            log.warning("conflict", extra=fields)

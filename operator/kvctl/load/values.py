"""What the load writes, and how a read is known to be right.

A value opens with a line that names its key, the run and the sequence number of the write; the rest follows from that
line alone. So any value can be checked by itself: bytes of another key, a torn value or a mixture of two writes are
all seen.
"""

import hashlib
from dataclasses import dataclass

_MAGIC = b"kvctl"


@dataclass(frozen=True)
class Stamp:
    """Which write a value comes from."""

    key: str
    run: str
    sequence: int
    size: int


def make(stamp: Stamp) -> bytes:
    """The value of `stamp.size` bytes (or as long as its first line, if that is longer)."""
    head = b"%s %s %s %d %d\n" % (_MAGIC, stamp.key.encode(), stamp.run.encode(), stamp.sequence, stamp.size)
    filler = hashlib.shake_128(head).digest(max(0, stamp.size - len(head)))
    return head + filler


def check(key: str, value: bytes) -> Stamp | None:
    """The stamp of a value that was written for `key`; None if these bytes never were."""
    match value.split(b"\n", 1)[0].split(b" "):
        case [magic, named, run, sequence, size] if magic == _MAGIC and sequence.isdigit() and size.isdigit():
            stamp = Stamp(named.decode(errors="replace"), run.decode(errors="replace"), int(sequence), int(size))
        case _:
            return None
    return stamp if stamp.key == key and stamp.size <= 2**24 and make(stamp) == value else None


def key_name(run: str, number: int) -> str:
    """Keys belong to a run, so that loads beside each other do not read each other's writes."""
    return f"{run}-{number}"

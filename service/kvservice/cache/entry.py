"""What is kept in the cache, and under which names. The 1 in the names is the format's: builds that disagree about it
do not see each other's entries.

entry      kv1:namespace:id, or kv1:namespace:id NUL item: the envelope, then
             -17  8  when the store was asked, microseconds since 1970, big-endian
              -9  4  milliseconds from then on in which the copy is fresh
              -5  4  microseconds that the asking took; 0: it was a write
              -1  1  1 if it was announced: it is in the feed
lease      kv1-lease:…, the same name: whoever could set it fills the entry
epoch      kv1-epoch: when the shard was empty last, microseconds since 1970
feed       kv1-feed: stream of {name of the entry, envelope}; ids are epoch-1, epoch-2, …
"""

from struct import Struct

from kvservice.core.ports import Copy, Key

EPOCH = b"kv1-epoch"
FEED = b"kv1-feed"
_ENTRY = b"kv1:"
_TRAILER = Struct(">QII")
_TRAILER_BYTES = _TRAILER.size + 1
_MOST = 2**32 - 1


def entry_name(key: Key) -> bytes:
    return _ENTRY + _tail(key)


def lease_name(key: Key) -> bytes:
    return b"kv1-lease:" + _tail(key)


def key_of(entry: bytes) -> Key:
    """The reverse of `entry_name`."""
    namespace, _, rest = entry.removeprefix(_ENTRY).decode().partition(":")
    id_, _, item = rest.partition("\0")
    return Key(namespace, id_, item)


def trailer(asked_us: int, fresh_s: float, cost_s: float) -> bytes:
    """All of it but the last byte, which is the script's. Longer than 49 days is cut to that."""
    return _TRAILER.pack(asked_us, min(round(fresh_s * 1e3), _MOST), min(round(cost_s * 1e6), _MOST))


def copy_of(entry: bytes, now_us: int) -> Copy:
    """What is no entry becomes a stale copy that cannot be decoded."""
    if len(entry) < _TRAILER_BYTES:
        return Copy(b"", 0.0, 0.0, 0.0)
    asked_us, fresh_ms, cost_us = _TRAILER.unpack_from(entry, len(entry) - _TRAILER_BYTES)
    age_s = max(now_us - asked_us, 0) / 1e6
    return Copy(entry[:-_TRAILER_BYTES], age_s, fresh_ms / 1e3 - age_s, cost_us / 1e6)


def _tail(key: Key) -> bytes:
    item = f"\0{key.item}" if key.item else ""
    return f"{key.namespace}:{key.id}{item}".encode()

"""The envelope: a record's payload and all of its metadata as one byte string, kept in one cell and cached as it is.

offset  bytes  field
0       8      version, big-endian: first, so that the cache can compare it
8       8      expiry, microseconds since 1970; 0 is never. Of a tombstone: when it may be forgotten
16      1      flags: bit 0 tombstone, bit 1 seen; others are refused, a newer build set them
17      1      length of the origin region (UTF-8)
18      1      length of the content type (Latin-1, as HTTP headers are)
19      …      origin region, content type
…       …      if flag `seen`: number of regions (1), then for each: length (1), region, version (8)
…       …      payload

Of two envelopes of one record the one with the larger bytes is the newer: `newer`. That is the version first; if two
pods ever made the same version, the tie ends the same way everywhere, as it does in Cassandra: the cell that expires
wins over the one that does not, then the larger bytes.

`seen` is what the write knew of the other regions' writes: for each the highest version among its ancestors. From it
follows whether two writes were concurrent (`kvservice.core.conflicts`). After the version vectors of Parker et al.,
"Detection of Mutual Inconsistency in Distributed Systems" (1983), with the own entry being the version itself. An own
entry in `seen` is what the last other region's write among the ancestors knew of this region.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from kvservice.errors import EnvelopeError

_HEAD = struct.Struct(">QQBBB")
_VERSION = struct.Struct(">Q")
_TOMBSTONE, _SEEN = 1, 2
MAX_CONTENT_TYPE_BYTES = 255
NEVER_WRITTEN = 0


@dataclass(frozen=True, slots=True)
class Envelope:
    """One version of a record. `version` orders all versions of a record; see `kvservice.core.clock`."""

    version: int
    region: str
    content_type: str
    payload: bytes
    expires_us: int = 0
    tombstone: bool = False
    seen: Mapping[str, int] = field(default_factory=dict)

    def is_live(self, now_us: int) -> bool:
        """Whether there is a record: neither deleted nor expired."""
        return not self.tombstone and not 0 < self.expires_us <= now_us


def encode(envelope: Envelope) -> bytes:
    region = envelope.region.encode()
    content_type = envelope.content_type.encode("latin-1")
    flags = (_TOMBSTONE if envelope.tombstone else 0) | (_SEEN if envelope.seen else 0)
    head = _HEAD.pack(envelope.version, envelope.expires_us, flags, len(region), len(content_type))
    return b"".join((head, region, content_type, _encode_seen(envelope.seen), envelope.payload))


def decode(data: bytes) -> Envelope:
    """Raises EnvelopeError if `data` was not made by `encode` of a build that knows no more flags than this one."""
    if len(data) < _HEAD.size:
        raise EnvelopeError(f"an envelope has at least {_HEAD.size} bytes, this one has {len(data)}")
    version, expires_us, flags, region_length, type_length = _HEAD.unpack_from(data)
    region_end = _HEAD.size + region_length
    type_end = region_end + type_length
    if flags & ~(_TOMBSTONE | _SEEN) or len(data) < type_end:
        raise EnvelopeError(f"flags {flags:#04x} and {len(data)} bytes are no envelope of this build")
    seen, begin = _decode_seen(data, type_end) if flags & _SEEN else ({}, type_end)
    try:
        region = data[_HEAD.size : region_end].decode()
    except UnicodeDecodeError as error:
        raise EnvelopeError("the origin region is not UTF-8") from error
    return Envelope(
        version=version,
        region=region,
        content_type=data[region_end:type_end].decode("latin-1"),
        payload=data[begin:],
        expires_us=expires_us,
        tombstone=bool(flags & _TOMBSTONE),
        seen=seen,
    )


def version_of(data: bytes) -> int:
    """The version of an encoded envelope, without decoding the rest."""
    return int(_VERSION.unpack_from(data)[0])


def expires_us_of(data: bytes) -> int:
    """The expiry of an encoded envelope, without decoding the rest; 0 is never."""
    return int(_VERSION.unpack_from(data, _VERSION.size)[0])


def never_written() -> bytes:
    """The envelope that a cache keeps for a record that the store has never heard of: any write is newer."""
    return encode(Envelope(NEVER_WRITTEN, "", "", b"", tombstone=True))


def newer(one: bytes, other: bytes) -> bool:
    """Whether `one` wins over `other`, both encoded envelopes of one record."""
    return one > other


def _encode_seen(seen: Mapping[str, int]) -> bytes:
    if not seen:
        return b""
    parts = [bytes([len(seen)])]
    for region, version in sorted(seen.items()):
        name = region.encode()
        parts += [bytes([len(name)]), name, _VERSION.pack(version)]
    return b"".join(parts)


def _decode_seen(data: bytes, at: int) -> tuple[dict[str, int], int]:
    """-> the vector, and where it ends."""
    seen: dict[str, int] = {}
    try:
        count, at = data[at], at + 1
        for _ in range(count):
            begin = at + 1
            end = begin + data[at]
            seen[data[begin:end].decode()] = version_of(data[end : end + 8])
            at = end + 8
    except (IndexError, UnicodeDecodeError, struct.error) as error:
        raise EnvelopeError(f"{len(data)} bytes end inside what the write had seen") from error
    return seen, at

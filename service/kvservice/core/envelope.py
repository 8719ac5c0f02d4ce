"""The envelope: a record's payload and all of its metadata as one byte string, kept in one cell and cached as it is.

offset  bytes  field
0       8      version, big-endian: first, so that the cache can compare it
8       1      flags: bit 0 tombstone; others are refused, a newer build set them
9       8      expiry, microseconds since 1970; 0 is never
17      1      length of the origin region (UTF-8)
18      1      length of the content type (Latin-1, as HTTP headers are)
19      …      origin region, content type, payload
"""

from dataclasses import dataclass
from struct import Struct

from kvservice.errors import EnvelopeError

_HEAD = Struct(">QBQBB")
_TOMBSTONE = 1
MAX_CONTENT_TYPE_BYTES = 255


@dataclass(frozen=True, slots=True)
class Envelope:
    """One version of a record. `version` orders all versions of a record; see `kvservice.core.clock`."""

    version: int
    region: str
    content_type: str
    payload: bytes
    expires_us: int = 0
    tombstone: bool = False


def encode(envelope: Envelope) -> bytes:
    region = envelope.region.encode()
    content_type = envelope.content_type.encode("latin-1")
    flags = _TOMBSTONE if envelope.tombstone else 0
    head = _HEAD.pack(envelope.version, flags, envelope.expires_us, len(region), len(content_type))
    return b"".join((head, region, content_type, envelope.payload))


def decode(data: bytes) -> Envelope:
    """Raises EnvelopeError if `data` was not made by `encode` of a build that knows no more flags than this one."""
    if len(data) < _HEAD.size:
        raise EnvelopeError(f"an envelope has at least {_HEAD.size} bytes, this one has {len(data)}")
    version, flags, expires_us, region_length, type_length = _HEAD.unpack_from(data)
    region_end = _HEAD.size + region_length
    type_end = region_end + type_length
    if flags & ~_TOMBSTONE or len(data) < type_end:
        raise EnvelopeError(f"flags {flags:#04x} and {len(data)} bytes are no envelope of this build")
    return Envelope(
        version=version,
        region=data[_HEAD.size : region_end].decode(),
        content_type=data[region_end:type_end].decode("latin-1"),
        payload=data[type_end:],
        expires_us=expires_us,
        tombstone=bool(flags & _TOMBSTONE),
    )

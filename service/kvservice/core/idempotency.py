"""Receipts: what became of a write with an Idempotency-Key, kept by the store for 24 hours.

A retry finds it and gives the same answer. It also holds all that the request itself does not say of the envelope, so
that a retry, or a hedge in another pod, writes the same bytes again.

offset  bytes  field
0       1      format, 1
1       1      outcome
2       16     fingerprint of the request
18      …      an envelope (`kvservice.core.envelope`) without content type and payload: version, region, expiry, seen.
               Of a failed condition: the present version, 0 for no record
"""

from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple

from kvservice.core import envelope as envelopes
from kvservice.core.conditions import Conditions
from kvservice.core.envelope import Envelope
from kvservice.errors import EnvelopeError, IdempotencyMismatch

_FORMAT = 1
_FINGERPRINT_BYTES = 16
_HEAD_BYTES = 2 + _FINGERPRINT_BYTES


class Outcome(IntEnum):
    CREATED = 1
    REPLACED = 2
    DELETED = 3
    NOTHING = 4
    """A delete of what was not there: nothing was written; the version is that of the tombstone, or 0."""
    FAILED = 5
    """A condition did not hold."""


class Receipt(NamedTuple):
    """`envelope`: without content type and payload."""

    fingerprint: bytes
    outcome: Outcome
    envelope: Envelope


def fingerprint(
    *, method: str, item: str, payload: bytes, content_type: str, ttl_s: int | None, conditions: Conditions
) -> bytes:
    """Of all that makes two requests under one id the same."""
    hash_ = blake2b(digest_size=_FINGERPRINT_BYTES)
    for part in (method, item, content_type, ttl_s, conditions.if_match, conditions.if_none_match):
        text = b"" if part is None else b"=" + str(part).encode()
        hash_.update(len(text).to_bytes(4, "big") + text)
    hash_.update(payload)
    return hash_.digest()


def encode(receipt: Receipt) -> bytes:
    return bytes([_FORMAT, receipt.outcome]) + receipt.fingerprint + envelopes.encode(receipt.envelope)


def decode(data: bytes) -> Receipt:
    """Raises EnvelopeError if another build made it."""
    if len(data) < _HEAD_BYTES or data[0] != _FORMAT or data[1] not in list(Outcome):
        raise EnvelopeError(f"{data[:2].hex()} and {len(data)} bytes are no receipt of this build")
    return Receipt(data[2:_HEAD_BYTES], Outcome(data[1]), envelopes.decode(data[_HEAD_BYTES:]))


def same(kept: bytes, fingerprint: bytes) -> Receipt:
    """The kept receipt, if it is of the same request. Raises IdempotencyMismatch, EnvelopeError."""
    receipt = decode(kept)
    if receipt.fingerprint != fingerprint:
        raise IdempotencyMismatch(
            "the Idempotency-Key was used for another request on this id (method, item, value, content type, KV-TTL "
            "or conditions differ); take a new one for a new write"
        )
    return receipt

"""Receipts: their bytes are a format in stores, and the fingerprint tells requests apart."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvservice.core.conditions import Conditions
from kvservice.core.envelope import Envelope
from kvservice.core.idempotency import Outcome, Receipt, decode, encode, fingerprint, same
from kvservice.errors import EnvelopeError, IdempotencyMismatch

PRINT = bytes(range(16))
GOLDEN = [
    (
        Receipt(PRINT, Outcome.CREATED, Envelope(0x0006_4D3C_1A2B_3C07, "eu-west", "", b"", expires_us=2**40)),
        "0101" + PRINT.hex() + "00064d3c1a2b3c07" + "0000010000000000" + "000700" + b"eu-west".hex(),
    ),
    (
        Receipt(PRINT, Outcome.DELETED, Envelope(256, "r", "", b"", tombstone=True, seen={"s": 1})),
        "0103" + PRINT.hex() + "0000000000000100" + "0" * 16 + "030100" + b"r".hex() + "0101730000000000000001",
    ),
]
BASE: dict[str, Any] = {
    "method": "PUT",
    "item": "",
    "payload": b"v",
    "content_type": "",
    "ttl_s": None,
    "conditions": Conditions(),
}
OTHERS: list[dict[str, Any]] = [
    {"method": "PATCH"},
    {"item": "i"},
    {"payload": b"w"},
    {"content_type": "v", "payload": b""},
    {"ttl_s": 0},
    {"ttl_s": 1},
    {"conditions": Conditions(if_match='"1"')},
    {"conditions": Conditions(if_none_match='"1"')},
    {"conditions": Conditions(if_match="")},
]


@pytest.mark.parametrize(("receipt", "golden"), GOLDEN)
def test_the_bytes_are_the_golden_ones(receipt: Receipt, golden: str) -> None:
    assert encode(receipt).hex() == golden
    assert decode(bytes.fromhex(golden)) == receipt


def test_the_fingerprint_is_the_golden_one() -> None:
    assert fingerprint(**BASE).hex() == "5a30f0ce440f4a6e63b23e504541a3a7"


def test_requests_that_differ_have_different_fingerprints() -> None:
    prints = [fingerprint(**(BASE | other)) for other in [{}, *OTHERS]]

    assert len(set(prints)) == len(prints)


@given(st.binary(max_size=60))
def test_other_bytes_are_no_receipt_or_one_of_this_build(data: bytes) -> None:
    try:
        receipt = decode(data)
    except EnvelopeError:
        return
    assert encode(receipt) == data


def test_a_receipt_of_another_request_is_a_mismatch() -> None:
    kept = encode(GOLDEN[0][0])

    assert same(kept, PRINT) == GOLDEN[0][0]
    with pytest.raises(IdempotencyMismatch, match="take a new one"):
        same(kept, bytes(16))


@pytest.mark.parametrize("data", [b"", b"\x01\x01" + PRINT, b"\x02\x01" + PRINT + bytes(19), b"\x01\x09" + bytes(40)])
def test_a_receipt_of_another_build_is_not_understood(data: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode(data)

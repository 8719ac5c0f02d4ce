"""The envelope's bytes are a format on disk and in caches: they must not change by accident."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvservice.core.envelope import Envelope, decode, encode
from kvservice.errors import EnvelopeError

GOLDEN = [
    (
        Envelope(0x0006_4D3C_1A2B_3C07, "eu-west", "text/plain", b"hello"),
        "00064d3c1a2b3c07000000000000000000070a" + b"eu-westtext/plainhello".hex(),
    ),
    (
        Envelope(256, "local", "", b"", tombstone=True),
        "00000000000001000100000000000000000500" + b"local".hex(),
    ),
    (
        Envelope(2**63, "r", "x/\xe9", b"\x00\xff", expires_us=2**40),
        "80000000000000000000000100000000000103" + b"rx/\xe9\x00\xff".hex(),
    ),
]
ENVELOPES = st.builds(
    Envelope,
    version=st.integers(0, 2**64 - 1),
    region=st.text("abcdefghijklmnopqrstuvwxyz-", max_size=63),
    content_type=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=255),
    payload=st.binary(max_size=200),
    expires_us=st.integers(0, 2**64 - 1),
    tombstone=st.booleans(),
)


@pytest.mark.parametrize(("envelope", "golden"), GOLDEN)
def test_the_bytes_are_the_golden_ones(envelope: Envelope, golden: str) -> None:
    assert encode(envelope).hex() == golden


@pytest.mark.parametrize(("envelope", "golden"), GOLDEN)
def test_golden_bytes_are_understood(envelope: Envelope, golden: str) -> None:
    assert decode(bytes.fromhex(golden)) == envelope


@given(ENVELOPES)
def test_decoding_gives_back_what_was_encoded(envelope: Envelope) -> None:
    assert decode(encode(envelope)) == envelope


@given(ENVELOPES, ENVELOPES)
def test_the_first_eight_bytes_order_as_the_versions_do(one: Envelope, other: Envelope) -> None:
    assert (encode(one)[:8] < encode(other)[:8]) == (one.version < other.version)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 18, bytes.fromhex("00" * 17 + "ff00"), bytes.fromhex("00" * 8 + "02" + "00" * 10)]
)
def test_what_this_build_did_not_write_is_refused(data: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode(data)

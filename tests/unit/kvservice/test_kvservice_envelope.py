"""The envelope's bytes are a format on disk and in caches: they must not change by accident."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvservice.core.envelope import (
    NEVER_WRITTEN,
    Envelope,
    decode,
    encode,
    expires_us_of,
    never_written,
    newer,
    version_of,
)
from kvservice.errors import EnvelopeError

GOLDEN = [
    (
        Envelope(0x0006_4D3C_1A2B_3C07, "eu-west", "text/plain", b"hello"),
        "00064d3c1a2b3c07000000000000000000070a" + b"eu-westtext/plainhello".hex(),
    ),
    (
        Envelope(256, "local", "", b"", tombstone=True),
        "00000000000001000000000000000000010500" + b"local".hex(),
    ),
    (
        Envelope(256, "r", "t", b"v", seen={"us-east": 2**62, "ap": 1}),
        "00000000000001000000000000000000020101" + b"rt".hex() + "02" + "02" + b"ap".hex() + "0000000000000001"
        "07" + b"us-east".hex() + "4000000000000000" + b"v".hex(),
    ),
    (
        Envelope(2**63, "r", "x/\xe9", b"\x00\xff", expires_us=2**40),
        "80000000000000000000010000000000000103" + b"rx/\xe9\x00\xff".hex(),
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
    seen=st.dictionaries(st.text("abc-", max_size=9), st.integers(0, 2**64 - 1), max_size=5),
)


TIES = [(b"a", 0), (b"b", 0), (b"a", 1)]


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
    assert newer(encode(one), encode(other)) or one.version <= other.version


def test_of_equal_versions_the_one_that_expires_wins_then_the_larger_bytes() -> None:
    lasting, larger, expiring = (Envelope(256, "r", "", payload, expires_us) for payload, expires_us in TIES)

    assert newer(encode(larger), encode(lasting))
    assert newer(encode(expiring), encode(larger))


@given(ENVELOPES)
def test_version_and_expiry_are_read_without_the_rest(envelope: Envelope) -> None:
    assert (version_of(encode(envelope)), expires_us_of(encode(envelope))) == (envelope.version, envelope.expires_us)


@given(ENVELOPES)
def test_any_write_is_newer_than_none(envelope: Envelope) -> None:
    assert newer(encode(envelope), never_written()) or envelope.version == NEVER_WRITTEN


@pytest.mark.parametrize(
    ("expires_us", "tombstone", "is_live"),
    [
        (0, False, True),
        (100, False, False),
        (101, False, True),
        (0, True, False),
        (101, True, False),
    ],
)
def test_deleted_and_expired_records_are_not_live(expires_us: int, tombstone: bool, is_live: bool) -> None:
    assert Envelope(256, "r", "", b"", expires_us, tombstone).is_live(100) == is_live


@given(st.binary(max_size=80))
def test_any_bytes_are_an_envelope_or_refused(data: bytes) -> None:
    try:
        envelope = decode(data)
    except EnvelopeError:
        return
    assert decode(encode(envelope)) == envelope


@given(ENVELOPES, st.data())
def test_a_cut_head_is_refused(envelope: Envelope, data: st.DataObject) -> None:
    whole = encode(envelope)
    cut = data.draw(st.integers(0, len(whole) - len(envelope.payload) - 1))

    with pytest.raises(EnvelopeError):
        decode(whole[:cut])


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 18, bytes.fromhex("00" * 17 + "ff00"), bytes.fromhex("00" * 16 + "04" + "00" * 2)]
)
def test_what_this_build_did_not_write_is_refused(data: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode(data)

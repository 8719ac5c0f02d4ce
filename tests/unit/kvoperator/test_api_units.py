"""Durations and sizes as numbers."""

import pytest

from kvoperator.api.errors import UnitError
from kvoperator.api.units import byte_count, seconds


@pytest.mark.parametrize(
    ("text", "number"), [("250ms", 0.25), ("30s", 30), ("1h30m", 5400), ("1m1ms", 60.001), ("0s", 0)]
)
def test_a_duration_is_seconds(text: str, number: float) -> None:
    assert seconds(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "5", "-5m", "1d", "1.5s", "5 m", "5m\n", "s"])
def test_what_is_no_duration_is_said_so(text: str) -> None:
    with pytest.raises(UnitError, match="is not a duration; write whole numbers with units"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), ("5k", 5000), ("64Mi", 2**26), ("1Ti", 2**40), ("3M", 3_000_000)]
)
def test_a_size_is_bytes(text: str, number: int) -> None:
    assert byte_count(text) == number


@pytest.mark.parametrize("text", ["", "0", "0Gi", "-1Gi", "1.5Gi", "1KiB", "Gi", "1Gi\n"])
def test_what_is_no_size_is_said_so(text: str) -> None:
    with pytest.raises(UnitError, match="is not a size; write a whole number above zero"):
        byte_count(text)

"""Reading what several commands take as options."""

from kvctl.errors import UsageError
from kvoperator.api.units import seconds


def duration_s(option: str, text: str) -> float:
    """`1m30s` -> 90.0. Raises UsageError that names the option."""
    try:
        return seconds(text)
    except ValueError as error:
        raise UsageError(f"--{option}: {error}") from None

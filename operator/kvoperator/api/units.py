"""Durations and byte quantities as users write them (`10m`, `1h30m`, `250ms`, `64Mi`), and as numbers.

A duration's units are those of CEL's `duration()`, with which the API server compares: no days yet (they come with the
SLO window, in a field of its own).
"""

import re

from kvoperator.api.errors import UnitError

DURATION_PATTERN = r"^([0-9]{1,6}(ms|s|m|h))+$"
QUANTITY_PATTERN = r"^[1-9][0-9]{0,11}(Ki|Mi|Gi|Ti|k|M|G|T)?$"
COUNT_PATTERN = r"^[1-9][0-9]{0,8}(k|M|G)$"
DURATION_HELP = "is not a duration; write whole numbers with units, such as 250ms, 30s, 10m or 1h30m"
QUANTITY_HELP = "is not a size; write a whole number above zero with a unit, such as 512Ki, 64Mi or 10Gi"
COUNT_HELP = (
    "is not a count; write a whole number, or thousands, millions or billions of them, such as 200k, 200M or 2G"
)

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def seconds(duration: str) -> float:
    """`1m30s` -> 90.0. Raises UnitError on anything that DURATION_PATTERN refuses."""
    if not re.fullmatch(DURATION_PATTERN, duration):
        raise UnitError(f"{duration!r} {DURATION_HELP}")
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", duration))


def byte_count(quantity: str) -> int:
    """`64Mi` -> 67108864. Raises UnitError on anything that QUANTITY_PATTERN refuses."""
    if not re.fullmatch(QUANTITY_PATTERN, quantity):
        raise UnitError(f"{quantity!r} {QUANTITY_HELP}")
    number = quantity.rstrip("KMGTki")
    return int(number) * _BYTES[quantity[len(number) :]]

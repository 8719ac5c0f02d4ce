"""Durations and byte quantities as users write them (`10m`, `1h30m`, `250ms`, `64Mi`), and as numbers.

Kubernetes' own duration format has no days; ours has, because SLO windows are spoken of in days.
"""

import re

DURATION_PATTERN = r"^([0-9]{1,6}(ms|s|m|h|d))+$"
QUANTITY_PATTERN = r"^[0-9]{1,12}(Ki|Mi|Gi|Ti|k|M|G|T)?$"

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def seconds(duration: str) -> float:
    """`1m30s` -> 90.0. Raises ValueError on anything that DURATION_PATTERN refuses."""
    if not re.match(DURATION_PATTERN, duration):
        raise ValueError(f"{duration!r} is not a duration; write a number and a unit, such as 250ms, 30s, 10m, 1h30m or 30d")
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h|d)", duration))


def byte_count(quantity: str) -> int:
    """`64Mi` -> 67108864. Raises ValueError on anything that QUANTITY_PATTERN refuses."""
    match = re.match(r"^([0-9]+)(|Ki|Mi|Gi|Ti|k|M|G|T)$", quantity)
    if not match:
        raise ValueError(f"{quantity!r} is not a size; write a whole number and a unit, such as 512Ki, 64Mi or 10Gi")
    return int(match[1]) * _BYTES[match[2]]

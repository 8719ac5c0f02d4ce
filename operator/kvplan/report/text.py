"""Numbers as people read them: three significant digits, and units that keep them short."""

import math

from kvplan.plan.outcome import Number

_STEPS = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bytes": tuple((1024.0**power, name) for power, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB", "PiB")))[::-1],
    "of": ((0.01, "% of"),),
}


def quantity(value: float) -> str:
    """`50,000`, `1,230`, `12.3`, `0.0123`; `∞` for what never comes."""
    if math.isinf(value):
        return "∞"
    if abs(value) >= 1000:
        return f"{round(value, 3 - len(str(int(abs(value))))):,.0f}"
    return f"{value:.3g}"


def count(value: float) -> str:
    """All of its digits: there is no half a pod."""
    return f"{value:,.0f}"


def seconds(value: float) -> str:
    """`250 µs`, `12.3 ms`, `1.5 s`; to the nanosecond."""
    return amount(round(value, 9), "s")


def size(value: float) -> str:
    """`4 GiB`."""
    return amount(value, "bytes")


def percent(share: float) -> str:
    return f"{quantity(100 * share if share >= 0.01 else round(100 * share, 1))} %"


def percentile(value: float) -> str:
    return f"p{value:g}"


def amount(value: float, unit: str) -> str:
    """In a unit of a plan's numbers: `s` and `bytes` (also `bytes a node`) are scaled, a share `of` something is in
    percent. A time without end is that of a queue without end."""
    if unit == "s" and math.isinf(value):
        return "unstable"
    scale, name = _scale(value, unit)
    return f"{quantity(value / scale)} {name}".rstrip()


def number(each: Number) -> str:
    """With its range, where there is one: `12.3 ms (10.1-15.2)`."""
    between = interval(each)
    return f"{amount(each.value, each.unit)} ({between})" if between else amount(each.value, each.unit)


def interval(each: Number) -> str:
    """`10.1-15.2`, in the unit that the value is shown in; empty where nothing is uncertain."""
    if each.low == each.high:
        return ""
    scale, _ = _scale(each.value, each.unit)
    return f"{quantity(each.low / scale)}-{quantity(each.high / scale)}"


def _scale(value: float, unit: str) -> tuple[float, str]:
    """What to divide by, and what the unit is called then."""
    first, _, rest = unit.partition(" ")
    steps = _STEPS.get(first, ((1.0, first),))
    scale, name = next((step for step in steps if abs(value) >= step[0]), steps[-1])
    return scale, f"{name} {rest}".rstrip()

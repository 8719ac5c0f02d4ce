"""Two plans side by side: only what differs. Pure."""

from collections.abc import Iterator, Mapping

from kvplan.plan.outcome import Month, Plan
from kvplan.report.tables import Table, by_kind
from kvplan.report.text import count, percent, quantity, seconds, size

_NONE = "-"


def comparison(a: Plan, b: Plan, names: tuple[str, str]) -> Table:
    """Sizes, p95 and cost, of the first month and of the last one."""
    rows = [
        (str(month), what, before, after)
        for month, left, right in _months(a, b)
        for what, before, after in _differing(_facts(left), _facts(right))
    ]
    return Table("What differs", ("month", "what", *names), tuple(rows), "" if rows else "Nothing differs.")


def _months(a: Plan, b: Plan) -> Iterator[tuple[int, Month, Month]]:
    yield 1, a.months[0], b.months[0]
    last = min(len(a.months), len(b.months))
    if last > 1:
        yield last, a.months[last - 1], b.months[last - 1]


def _differing(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for what in dict.fromkeys([*a, *b]):
        before, after = a.get(what, _NONE), b.get(what, _NONE)
        if before != after:
            yield what, before, after


def _facts(month: Month) -> dict[str, str]:
    found = {"peak": f"{quantity(month.peak_qps.value)} requests/s", "data, one copy": size(month.data_bytes.value)}
    for each in month.sizes:
        found |= {
            f"{each.region}: pods": count(each.pods),
            f"{each.region}: cache": f"{each.cache_shards} x {size(each.cache_bytes)}",
            f"{each.region}: store nodes": count(each.store_nodes),
            f"{each.region}: disk of a node": size(each.disk_bytes),
        }
    found |= {f"{region}: p95": seconds(each.value) for region, each in month.p95.items()}
    found |= {f"cost: {kind}": _money(cost, month) for kind, cost in by_kind(month.bill).items()}
    found["cost"] = _money(month.cost.value, month)
    found["worlds that hold"] = percent(month.holds.value)
    return found


def _money(cost: float, month: Month) -> str:
    return f"{quantity(cost)} {month.bill.currency}"

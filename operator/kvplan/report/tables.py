"""What a plan says, as tables of text: the same for a terminal, Markdown and HTML."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kvplan.plan.outcome import Bill, Mitigation, Month, Number, Plan, State
from kvplan.plan.states import Kind
from kvplan.report.text import amount, count, interval, number, percent, percentile, quantity, seconds, size

SHOWN = (50.0, 95.0, 99.0)  # percentiles

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """`title` is also its heading; `says` stands below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    says: str = ""

    @property
    def right(self) -> frozenset[int]:
        """The columns of amounts: they are set to the right, so that digits stand below each other."""
        return frozenset(
            index
            for index in range(len(self.columns))
            if self.rows and all(_is_amount(row[index]) for row in self.rows)
        )


def _is_amount(cell: str) -> bool:
    return not cell or cell == "unstable" or (cell[0].isdigit() and " x " not in cell)


def sizes(plan: Plan) -> Table:
    """What runs in each region, in the first month and in the last one."""
    rows = [
        (
            each.region,
            str(month.number),
            count(each.pods),
            f"{each.cache_shards} x {size(each.cache_bytes)}",
            f"{each.store_nodes} x {size(each.disk_bytes)}",
            each.binds,
        )
        for month in _ends(plan)
        for each in month.sizes
    ]
    return Table("Sizes", ("region", "month", "pods", "cache", "store nodes x disk", "what binds"), tuple(rows))


def states(plan: Plan) -> Table:
    """Each region as it must hold: percentiles, and whether the objectives do."""
    rows = [
        (
            state.region,
            state.name,
            f"{quantity(state.rate)}/s",
            percent(state.hit_rate),
            *_percentiles(state),
            "yes" if state.holds else "NO",
            state.why,
        )
        for state in plan.states
    ]
    columns = ("region", "state", "requests", "hits", *map(percentile, SHOWN), "holds", "why")
    return Table("States at peak, first month", columns, tuple(rows))


def _percentiles(state: State) -> Row:
    if state.prediction is None:
        return ("unstable",) * len(SHOWN)
    return tuple(seconds(state.prediction.latency.quantiles[each]) for each in SHOWN)


def budget(state: State) -> Table:
    """Stage by stage, for each class of requests of a state that is stable."""
    assert state.prediction is not None
    rows = [
        row
        for each in state.prediction.classes
        for row in (
            *((each.name, part.name, seconds(part.mean), seconds(part.wait), seconds(part.p95)) for part in each.parts),
            (each.name, "all", seconds(each.latency.mean), "", seconds(each.latency.quantiles[95.0])),
        )
    ]
    shares = ", ".join(f"{each.name} {percent(each.share)}" for each in state.prediction.classes)
    says = f"Of all requests: {shares}. Means add up, percentiles do not."
    return Table(f"Budget of {state.region}", ("class", "stage", "mean", "of it waiting", "p95"), tuple(rows), says)


def stations(state: State) -> Table:
    """How busy each station of a stable state is, and at how many of its clients' requests it is full; the closed
    forms stand below, as a check."""
    assert state.prediction is not None
    rows = [
        (
            each.name,
            percent(each.utilisation),
            seconds(each.wait),
            seconds(each.erlang_wait),
            f"{quantity(each.saturates_at * state.rate / state.prediction.rate)}/s",
        )
        for each in state.prediction.stations
    ]
    closed = "; ".join(f"{name}: {value:.4g}" for name, value in state.prediction.closed_forms.items())
    says = " ".join(filter(None, (f"Closed forms beside it: {closed}." if closed else "", state.prediction.beyond)))
    columns = ("station", "busy", "mean wait", "by M/M/c", "full at")
    return Table(f"Stations of {state.region}", columns, tuple(rows), says)


def costs(plan: Plan) -> Table:
    """A month's cost by kind, first and last; egress always, even if it is nothing."""
    first, last = (by_kind(month.bill) for month in (plan.months[0], plan.months[-1]))
    totals = [sum(each.values()) for each in (first, last)]
    currency = plan.months[0].bill.currency
    rows = [
        (kind, *(text for each, total in zip((first, last), totals, strict=True) for text in _cost(each, kind, total)))
        for kind in sorted({*first, *last, "egress"}, key=lambda kind: -first.get(kind, 0.0))
    ]
    total = ("all", *(text for month in (plan.months[0], plan.months[-1]) for text in (_bare(month.cost), "")))
    columns = ("kind", f"month 1, {currency}", "share", f"month {plan.months[-1].number}, {currency}", "share")
    bill = plan.months[0].bill
    says = "; ".join(filter(None, (f"Prices: {bill.price_table}, an example unless it is yours", bill.warning)))
    return Table("Cost a month", columns, (*rows, total), f"{says}.")


def _cost(kinds: dict[str, float], kind: str, total: float) -> Row:
    cost = kinds.get(kind, 0.0)
    return quantity(cost), percent(cost / total if total else 0.0)


def by_kind(bill: Bill) -> dict[str, float]:
    """Kind -> its cost over all regions."""
    found: dict[str, float] = {}
    for line in bill.lines:
        found[line.kind] = found.get(line.kind, 0.0) + line.cost
    return found


def lines(month: Month) -> Table:
    """The bill of a month, line by line."""
    rows = [
        (
            line.region,
            line.kind,
            quantity(line.quantity),
            line.unit,
            f"{line.unit_price:.4g}",
            quantity(line.cost),
        )
        for line in month.bill.lines
    ]
    columns = ("region", "kind", "quantity", "unit", "price of a unit", f"{month.bill.currency} a month")
    return Table(f"Bill of month {month.number}", columns, tuple(rows))


def months(plan: Plan) -> Table:
    """The year."""
    rows = [
        (
            str(month.number),
            _bare(month.peak_qps),
            number(month.data_bytes),
            " + ".join(count(each.pods) for each in month.sizes),
            " + ".join(count(each.store_nodes) for each in month.sizes),
            _worst(month),
            _bare(month.cost),
            number(month.holds),
        )
        for month in plan.months
    ]
    first = plan.months[0]
    peak, cost = f"peak, {first.peak_qps.unit}", f"cost, {first.cost.unit}"
    columns = ("month", peak, "data, one copy", "pods", "store nodes", "worst p95", cost, "worlds that hold")
    says = (
        f"Pods and nodes: {' + '.join(region.name for region in plan.inputs.regions)}. In brackets: 5 % to 95 % of the "
        "sampled worlds. A world holds if the objectives do at peak with a zone lost and with a region lost."
    )
    return Table("Month by month", columns, tuple(rows), says)


def _worst(month: Month) -> str:
    return number(max(month.p95.values(), key=lambda each: each.value))


def _bare(each: Number) -> str:
    """Without its unit, which stands in the heading."""
    return number(replace(each, unit=""))


def numbers(plan: Plan) -> Table:
    """Every number, with its range and its formula."""
    rows = [(name, amount(each.value, each.unit), interval(each), each.formula) for name, each in plan.numbers.items()]
    return Table("Numbers", ("name", "value", "5 % to 95 %", "formula"), tuple(rows))


def mitigated(mitigations: Sequence[Mitigation], currency: str) -> Table:
    """What each change buys."""
    rows = [
        (
            each.name,
            each.change,
            f"{seconds(each.p95_before)} to {seconds(each.p95_after)}",
            f"{quantity(each.cost_before)} to {quantity(each.cost_after)}",
            each.risk,
        )
        for each in mitigations
    ]
    columns = ("mitigation", "change", "p95", f"{currency} a month", "risk")
    return Table("What would help", columns, tuple(rows))


def stable(plan: Plan) -> Iterator[State]:
    """The normal states that have a prediction, the one with the worst p95 first."""
    found = [state for state in plan.states if state.name == Kind.NORMAL and state.prediction]
    return iter(sorted(found, key=lambda state: -state.prediction.latency.quantiles[95.0] if state.prediction else 0))


def _ends(plan: Plan) -> tuple[Month, ...]:
    return plan.months[:1] if len(plan.months) == 1 else (plan.months[0], plan.months[-1])

"""What a plan says, as tables of text: the same for a terminal, Markdown and HTML."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kvplan.model import ClassPrediction, Part
from kvplan.plan.outcome import Bill, Mitigation, Month, Number, Plan, State
from kvplan.plan.states import Kind
from kvplan.plan.topology import REPLICATED
from kvplan.report.text import amount, count, interval, number, percent, percentile, quantity, seconds, size

SHOWN = (50.0, 95.0, 99.0)  # percentiles

_LONG = 34  # characters

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

    @property
    def long(self) -> frozenset[int]:
        """The columns of sentences, which may be broken into lines."""
        return frozenset(
            index for index in range(len(self.columns)) if any(len(row[index]) > _LONG for row in self.rows)
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


@dataclass(frozen=True)
class Stage:
    """All visits of a class at one station, or all its pauses of one name; times in seconds."""

    name: str
    visits: int
    mean: float
    wait: float
    p95: float  # of the visit that takes longest


def stages(each: ClassPrediction) -> list[Stage]:
    """In the order in which they are first seen. The second visit of `pod` is its part `pod (2)`."""
    found: dict[str, list[Part]] = {}
    for part in each.parts:
        found.setdefault(part.name.partition(" (")[0], []).append(part)
    return [
        Stage(
            name,
            visits=len(parts),
            mean=sum(part.mean for part in parts),
            wait=sum(part.wait for part in parts),
            p95=max(part.p95 for part in parts),
        )
        for name, parts in found.items()
    ]


def clients_classes(state: State) -> list[ClassPrediction]:
    """Those whose latency a client sees, of a state that is stable."""
    assert state.prediction is not None
    return [each for each in state.prediction.classes if each.name != REPLICATED]


def budget(state: State) -> Table:
    """Stage by stage, for each class of requests of a state that is stable."""
    classes = clients_classes(state)
    rows = [
        row
        for each in classes
        for row in (
            *(
                (each.name, stage.name, str(stage.visits), *map(seconds, (stage.mean, stage.wait, stage.p95)))
                for stage in stages(each)
            ),
            (each.name, "all", "", seconds(each.latency.mean), "", seconds(each.latency.quantiles[95.0])),
        )
    ]
    whole = sum(each.share for each in classes)
    shares = ", ".join(f"{each.name} {percent(each.share / whole)}" for each in classes)
    says = f"Of the requests: {shares}. Means add up, percentiles do not; the p95 of a stage is that of one visit."
    columns = ("class", "stage", "visits", "mean", "of it waiting", "p95")
    return Table(f"Budget of {state.region}", columns, tuple(rows), says)


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
    closed = "; ".join(
        f"{name}: {seconds(value) if name.startswith('p95') else quantity(value)}"
        for name, value in state.prediction.closed_forms.items()
    )
    says = " ".join(filter(None, (f"Closed forms beside it: {closed}." if closed else "", state.prediction.beyond)))
    columns = ("station", "busy", "mean wait", "by M/M/c", "full at")
    return Table(f"Stations of {state.region}", columns, tuple(rows), says)


def costs(plan: Plan) -> Table:
    """A month's cost by kind, first and last; egress always, even if it is nothing."""
    ends = _ends(plan)
    kinds = [by_kind(month.bill) for month in ends]
    names = sorted({"egress", *(name for each in kinds for name in each)}, key=lambda name: -kinds[0].get(name, 0.0))
    rows = [(name, *(text for each in kinds for text in _cost(each, name))) for name in names]
    total = ("all", *(text for month in ends for text in (_bare(month.cost), "")))
    columns = ("kind", *(text for each in ends for text in (f"month {each.number}, {each.bill.currency}", "share")))
    bill = ends[0].bill
    says = "; ".join(filter(None, (f"Prices: {bill.price_table}, an example unless it is yours", bill.warning)))
    return Table("Cost a month", columns, (*rows, total), f"{says}.")


def _cost(kinds: Mapping[str, float], name: str) -> Row:
    cost, total = kinds.get(name, 0.0), sum(kinds.values())
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


def months(plan: Plan, *, ranges: bool = True) -> Table:
    """The year."""
    show = number if ranges else _middle
    rows = [
        (
            str(month.number),
            _bare(month.peak_qps, show),
            show(month.data_bytes),
            " + ".join(count(each.pods) for each in month.sizes),
            " + ".join(count(each.store_nodes) for each in month.sizes),
            show(max(month.p95.values(), key=lambda each: each.value)),
            _bare(month.cost, show),
            percent(month.holds.value),
        )
        for month in plan.months
    ]
    first = plan.months[0]
    peak, cost = f"peak, {first.peak_qps.unit}", f"cost, {first.bill.currency}"
    columns = ("month", peak, "data, one copy", "pods", "store nodes", "worst p95", cost, "hold")
    says = (
        f"Pods and nodes: {' + '.join(region.name for region in plan.inputs.regions)}. "
        f"{'In brackets: 5 % to 95 % of the sampled worlds. ' if ranges else ''}"
        "Hold: the worlds in which the objectives do, at peak with a zone lost and with a region lost."
    )
    return Table("Month by month", columns, tuple(rows), says)


def _middle(each: Number) -> str:
    return amount(each.value, each.unit)


def _bare(each: Number, show: Callable[[Number], str] = number) -> str:
    """Without its unit, which stands in the heading."""
    return show(replace(each, unit=""))


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

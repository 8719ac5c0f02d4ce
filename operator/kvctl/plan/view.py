"""A plan on a terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from kvctl.plan.manifest import fragment
from kvplan.plan.outcome import Number, Plan
from kvplan.report import tables
from kvplan.report.summary import asked, facts
from kvplan.report.tables import Table
from kvplan.report.text import interval, number

_NO_TERMINAL = 200  # columns: what reads a pipe does its own folding


def show(shown: Sequence[Table | str]) -> None:
    """Tables and lines, one below the other, with a line between tables."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_NO_TERMINAL)
    for index, each in enumerate(shown):
        if isinstance(each, str):
            console.print(Text(each))
            continue
        if index:
            console.print()
        console.print(Text(each.title, style="bold"))
        console.print(_rich(each))
        if each.says:
            console.print(Text(each.says, style="dim"))


def plan(plan: Plan, file: str, *, is_manifest: bool) -> Iterator[Table | str]:
    """What `kvctl plan` shows: the short of everything; of a manifest also what to write into it."""
    yield asked(plan)
    for fact in facts(plan):
        yield f"{fact.name}: {fact.value}{f'; {fact.says}' if fact.says else ''}"
    yield from (tables.sizes(plan), _states(plan), tables.costs(plan), tables.months(plan, ranges=False))
    yield ""
    if not all(state.holds for state in plan.states):
        yield f"These sizes do not hold what is asked for. Which do: kvctl plan --resize -f {file}."
    elif is_manifest and plan.inputs.storage.copies > 1:
        yield from ("To write into the manifest:", *(f"  {line}" for line in fragment(plan).splitlines()), "")
    yield f"Where a number comes from: kvctl plan explain -f {file}. All of it, with charts: --output html."


def _states(plan: Plan) -> Table:
    """A terminal has no room for a reason in each row: those that do not hold have it below."""
    table = tables.states(plan)
    reasons = [f"{state.region}, {state.name}: {state.why}." for state in plan.states if not state.holds]
    return Table(table.title, table.columns[:-1], tuple(row[:-1] for row in table.rows), "\n".join(reasons))


def names(numbers: Mapping[str, Number]) -> Table:
    rows = [(name, number(each)) for name, each in numbers.items()]
    return Table("Numbers", ("name", "value"), tuple(rows))


def explained(name: str, each: Number) -> Iterator[str]:
    yield f"{name}: {number(each)}"
    yield f"  = {each.formula}"
    if interval(each):
        yield "  in brackets: 5 % to 95 % of the sampled worlds"


def _rich(table: Table) -> RichTable:
    rich = RichTable(box=None, pad_edge=False)
    for index, column in enumerate(table.columns):
        rich.add_column(column, justify="right" if index in table.right else "left", overflow="fold")
    for row in table.rows:
        rich.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return rich


_STYLES = {"NO": "bold red", "unstable": "bold red", "yes": "green"}

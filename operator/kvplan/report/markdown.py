"""The report as Markdown: for a pull request, a wiki, a chat."""

from collections.abc import Iterator, Sequence

from kvplan.plan.outcome import Mitigation, Plan
from kvplan.report import tables
from kvplan.report.summary import TITLE, asked, facts
from kvplan.report.tables import Table


def markdown(plan: Plan, mitigations: Sequence[Mitigation] = ()) -> str:
    """One document; the tables of the HTML report without its charts."""
    return "\n".join(_lines(plan, mitigations)) + "\n"


def _lines(plan: Plan, mitigations: Sequence[Mitigation]) -> Iterator[str]:
    yield from (f"# {TITLE}", "", _plain(asked(plan)), "")
    for fact in facts(plan):
        yield f"- **{_plain(fact.name)}**: {_plain(fact.value)}{f'; {_plain(fact.says)}' if fact.says else ''}"
    for table in _tables(plan, mitigations):
        yield from ("", f"## {_plain(table.title)}", "", *_table(table))
        if table.says:
            yield from ("", _plain(table.says))
    yield from ("", "## Rules and limits", "", *(f"- {_plain(note)}" for note in plan.notes))


def _tables(plan: Plan, mitigations: Sequence[Mitigation]) -> Iterator[Table]:
    yield tables.sizes(plan)
    yield tables.states(plan)
    for state in tables.stable(plan):
        yield from (tables.budget(state), tables.stations(state))
    yield from (tables.months(plan), tables.costs(plan), tables.lines(plan.months[0]))
    if mitigations:
        yield tables.mitigated(mitigations, plan.months[0].bill.currency)
    yield tables.numbers(plan)


def _table(table: Table) -> Iterator[str]:
    yield _row(table.columns)
    yield _row(["---:" if index in table.right else "---" for index in range(len(table.columns))])
    yield from (_row([_plain(cell) for cell in row]) for row in table.rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: names are the user's, and must not become a table's border or HTML."""
    for character in "\\|<*_`[":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())

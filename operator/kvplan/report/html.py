"""The report as one HTML file: no scripts, nothing fetched; charts are SVG inside it."""

from collections.abc import Sequence
from typing import Any

from kvplan.plan.outcome import Mitigation, Plan, State
from kvplan.report import tables
from kvplan.report.curves import curves
from kvplan.report.summary import TITLE, asked, facts


def html(plan: Plan, mitigations: Sequence[Mitigation] = ()) -> str:
    """The whole page. Everything that is the user's is escaped."""
    # Here, not on top: drawing takes a second to import, and most of what imports this module draws nothing.
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from kvplan.report import charts

    def region(state: State) -> dict[str, Any]:
        return {
            "budget": tables.budget(state),
            "chart": Markup(charts.budget(state)),  # noqa: S704
            "stations": tables.stations(state),
        }

    loader = PackageLoader("kvplan.report")
    template = Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("report.html.j2")
    return template.render(
        title=TITLE,
        asked=asked(plan),
        facts=facts(plan),
        warning=plan.months[0].bill.warning,
        sizes=tables.sizes(plan),
        states=tables.states(plan),
        curves=[Markup(charts.latency(each, plan.inputs.objectives)) for each in curves(plan)],  # noqa: S704
        regions=[region(state) for state in tables.stable(plan)],
        months=tables.months(plan),
        growth=Markup(charts.growth(plan)),  # noqa: S704
        costs=tables.costs(plan),
        cost=Markup(charts.cost(plan)),  # noqa: S704
        lines=tables.lines(plan.months[0]),
        mitigations=tables.mitigated(mitigations, plan.months[0].bill.currency) if mitigations else None,
        numbers=tables.numbers(plan),
        notes=plan.notes,
    )

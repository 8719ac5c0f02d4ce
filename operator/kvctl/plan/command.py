"""`kvctl plan …`: reads the options, plans, prints. kvplan is imported when there is something to plan: it is large."""

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from kvctl.errors import UsageError
from kvctl.output import Document, DocumentOption, Output, OutputOption, print_json
from kvctl.plan.reading import SAVED, Changes, document, inputs, inputs_of, is_manifest

if TYPE_CHECKING:
    from kvplan.plan.inputs import Inputs
    from kvplan.plan.outcome import Plan

app = typer.Typer(invoke_without_command=True)

_FILE = typer.Option("--file", "-f", metavar="FILE", help="KVCluster manifest, or plan file; - reads standard input.")
FileOption = Annotated[str, _FILE]
PricesOption = Annotated[
    str | None, typer.Option(metavar="NAME|FILE", help="Price table: the name of an example, or your own YAML.")
]
ServiceOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="Measured times of the service, as kvctl calibrate writes them.")
]
MonthsOption = Annotated[int | None, typer.Option(min=1, max=60, help="How far to plan. Default: the file's, or 12.")]
SamplesOption = Annotated[
    int, typer.Option(min=1, max=10_000, help="Worlds to draw, where a number is only known roughly.")
]
_SAMPLES = 256
_SIMULATED = 300_000  # requests of each state


@app.callback()
def plan(
    context: typer.Context,
    file: Annotated[str | None, _FILE] = None,
    output: DocumentOption = Document.TABLE,
    prices: PricesOption = None,
    service: ServiceOption = None,
    months: MonthsOption = None,
    samples: SamplesOption = _SAMPLES,
    resize: Annotated[
        bool, typer.Option("--resize", help="Choose every size anew, also those that the file gives.")
    ] = False,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Play the states event by event instead of computing their latency.")
    ] = False,
) -> None:
    """Say what a workload needs: sizes per region, p50, p95 and p99 with a zone or a region lost, bottleneck, cost.

    The file is a KVCluster with a workload, or a plan file; docs/planning.md has the fields, the rules and the limits.

    Examples:

      kvctl plan -f kvcluster.yaml

      kvctl plan -f kvcluster.yaml --prices my-prices.yaml --service calibrated.yaml

      kvctl plan -f kvcluster.yaml --output html > plan.html
    """
    if context.invoked_subcommand:
        return
    if file is None:
        raise UsageError("say what to plan: kvctl plan -f FILE")
    data = document(file)
    made = _planned(inputs_of(file, data, Changes(prices, service, months, resize)), samples)
    if simulate:
        made = _simulated(made)
    match output:
        case Document.TABLE:
            from kvctl.plan import view

            view.show([*view.plan(made, file, is_manifest=is_manifest(data)), *made.notes[: int(simulate)]])
        case Document.JSON:
            from kvplan.report import as_json

            print_json(as_json(made))
        case Document.MARKDOWN | Document.HTML:
            from kvplan.plan.mitigations import mitigations
            from kvplan.report import html, markdown

            with _busy("trying what would help"):
                tried = mitigations(made)
            print((html if output is Document.HTML else markdown)(made, tried), end="")


@app.command()
def explain(
    file: FileOption,
    number: Annotated[str | None, typer.Argument(help="Its name, such as cost.total. Without: all names.")] = None,
    prices: PricesOption = None,
    service: ServiceOption = None,
    samples: SamplesOption = _SAMPLES,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show where a number of the plan comes from: value, unit, formula with the numbers filled in, range.

    Examples:

      kvctl plan explain -f kvcluster.yaml

      kvctl plan explain -f kvcluster.yaml regions.eu-west.pods
    """
    made = _planned(inputs(file, Changes(prices, service, months=1)), samples)
    if number is not None and number not in made.numbers:
        close = difflib.get_close_matches(number, made.numbers, n=3, cutoff=0.4)
        meant = f"; did you mean {' or '.join(close)}?" if close else "."
        raise UsageError(f"the plan has no number {number}{meant} All names: kvctl plan explain -f {file}")
    if output is Output.JSON:
        from kvplan.report import as_json

        found = as_json(made)["numbers"]
        print_json(found if number is None else {number: found[number]})
        return
    from kvctl.plan import view

    view.show([view.names(made.numbers)] if number is None else [*view.explained(number, made.numbers[number])])


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="KVCluster, plan file, or plan saved with --output json.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same, to compare with.")],
    prices: PricesOption = None,
    service: ServiceOption = None,
    months: MonthsOption = None,
    samples: SamplesOption = _SAMPLES,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what differs between two plans, in the first month and in the last: sizes, p95, cost.

    The options hold for manifests and plan files; a saved plan is taken as it is.

    Examples:

      kvctl plan compare today.yaml proposed.yaml

      kvctl plan -f kvcluster.yaml -o json > before.json; kvctl plan compare before.json kvcluster.yaml
    """
    changes = Changes(prices, service, months)
    plans = [_read(file, changes, samples) for file in (a, b)]
    from kvctl.plan import view
    from kvctl.plan.compare import comparison

    table = comparison(plans[0], plans[1], (a, b))
    if output is Output.JSON:
        print_json([dict(zip(("month", "what", "a", "b"), row, strict=True)) for row in table.rows])
    else:
        view.show([table])


@app.command("mitigations")
def show_mitigations(
    file: FileOption,
    prices: PricesOption = None,
    service: ServiceOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what each mitigation buys on this very workload: p95, cost, and what it risks.

    Example:

      kvctl plan mitigations -f kvcluster.yaml
    """
    from kvctl.plan import view
    from kvplan.plan.mitigations import mitigations
    from kvplan.report.tables import mitigated

    made = _planned(inputs(file, Changes(prices, service, months=1)), samples=1)
    with _busy("trying what would help"):
        tried = mitigations(made)
    if output is Output.JSON:
        print_json([asdict(each) for each in tried])
    else:
        view.show([mitigated(tried, made.months[0].bill.currency)])


def _read(file: str, changes: Changes, samples: int) -> "Plan":
    data = document(file)
    if not all(name in data for name in SAVED):
        return _planned(inputs_of(file, data, changes), samples)
    from kvplan.errors import InputError
    from kvplan.report import read_json

    try:
        return read_json(data)
    except InputError as error:
        raise UsageError(f"{file}: {error}") from None


def _planned(asked: "Inputs", samples: int) -> "Plan":
    from kvplan.plan import make_plan

    what = f"{asked.months} month{'s' * (asked.months > 1)} of {', '.join(region.name for region in asked.regions)}"
    with _busy(f"planning {what}, in {samples} world{'s' * (samples > 1)}"):
        return make_plan(asked, samples=samples, workers=os.cpu_count() or 1)


def _simulated(made: "Plan") -> "Plan":
    from kvplan.report.played import played

    console = Console(stderr=True)
    return played(made, lambda line: console.print(line, highlight=False), requests=_SIMULATED)


@contextmanager
def _busy(line: str) -> Iterator[None]:
    """Says what takes so long: as a spinner on a terminal, else as a line."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(line):
            yield
    else:
        console.print(line, highlight=False)
        yield

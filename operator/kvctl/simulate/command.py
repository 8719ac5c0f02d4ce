"""`kvctl simulate`: reads the options, plays, prints. kvplan is imported when there is something to play: it is big."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from kvctl.errors import UsageError
from kvctl.output import Document, DocumentOption, make_table, print_json
from kvctl.simulate.reading import Changes, scenario_named

if TYPE_CHECKING:
    from kvplan.scenario.file import Scenario
    from kvplan.scenario.play import Progress, Variant
    from kvplan.scenario.report import Table

_KINDS = (".svg", ".png", ".pdf")  # that matplotlib draws
_NO_TERMINAL = 200  # columns: what reads a pipe does its own folding


def simulate(
    scenario: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE", help="A packaged scenario, or a YAML file of your own.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", help="Play it on the cluster of this KVCluster or plan file.")
    ] = None,
    output: DocumentOption = Document.TABLE,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also without each of the protections, and without any.")
    ] = False,
    protections: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these, comma between them; all; or none.")
    ] = None,
    plot: Annotated[str | None, typer.Option(metavar="FILE", help="Draw it, as .svg, .png or .pdf.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of all that is random. Default: the scenario's.")] = None,
    duration: Annotated[int | None, typer.Option(min=1, help="Seconds to play. Default: the scenario's.")] = None,
    scale: Annotated[
        int | None, typer.Option(min=1, help="Play 1/SCALE of each region, for large ones. Default: the scenario's.")
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="Name the packaged scenarios and leave.")] = False,
) -> None:
    """Play a surge, a flush, a lost zone or region, event by event: what is answered in time, how fast, back when.

    Scenarios, events and protections are in docs/scenarios.md. The same seed gives the same run.

    Examples:

      kvctl simulate --list

      kvctl simulate flush --compare

      kvctl simulate region-lost --protections coalescing,deadline --plot region-lost.png

      kvctl simulate flush -f kvcluster.yaml --output html > flush.html
    """
    if list_all:
        _list()
        return
    if scenario is None:
        raise UsageError("say what to play: kvctl simulate NAME, one of kvctl simulate --list, or a scenario file")
    asked = scenario_named(scenario, file, Changes(seed, duration, scale, protections))
    if asked.months:
        if compare or plot:
            raise UsageError(f"{asked.name} goes month by month: it is neither compared nor plotted over time")
        _play_months(asked, output)
    elif plot and Path(plot).suffix not in _KINDS:
        raise UsageError(f"--plot: {plot} has no kind of picture; expected a name that ends in {', '.join(_KINDS)}")
    else:
        _play(asked, output, compare, plot)


def _list() -> None:
    from kvplan.scenario.packaged import fields, names

    _print(make_table(["scenario", "what happens"], [[name, fields(name)["about"]] for name in names()]))


def _play(asked: "Scenario", output: Document, compare: bool, plot: str | None) -> None:
    from kvplan.scenario import report
    from kvplan.scenario.play import variants

    chosen = [*variants(asked)] if compare else [next(variants(asked))]
    played = [_played(name, each) for name, each in chosen]
    if plot:
        _draw(played, plot)
    if output is Document.JSON:
        print_json(report.as_json(played))
        return
    picture = ""
    if output is Document.HTML:
        from kvplan.scenario.plots import svg

        picture = svg(played)
    _show(output, [*report.about(asked)], [report.summary(played)], picture)


def _played(name: str, asked: "Scenario") -> "Variant":
    from kvplan.scenario.play import Variant, play

    with _progress(name) as progress:
        return Variant(name, play(asked, progress))


def _play_months(asked: "Scenario", output: Document) -> None:
    from kvplan.scenario import report
    from kvplan.scenario.months import months

    with _progress("month by month") as progress:
        states = months(asked, progress)
    if output is Document.JSON:
        print_json(report.growth_as_json(asked, states))
    else:
        _show(output, [*report.about(asked), report.verdict(states)], [report.growth(states)])


def _show(output: Document, lines: "Sequence[str]", tables: "Sequence[Table]", picture: str = "") -> None:
    from kvplan.scenario import report

    if output is Document.MARKDOWN:
        print(report.markdown(lines, tables), end="")
    elif output is Document.HTML:
        print(report.html(lines, tables, picture), end="")
    else:
        _print(*map(Text, lines))
        for table in tables:
            _print("", make_table([*table.columns], [[*row] for row in table.rows]))


def _print(*shown: object) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_NO_TERMINAL)
    console.print(*shown, sep="\n")


def _draw(played: "Sequence[Variant]", file: str) -> None:
    from kvplan.scenario.plots import save

    try:
        save(played, file)
    except OSError as error:
        raise UsageError(f"--plot: {file} cannot be written: {error.strerror}") from None


@contextmanager
def _progress(what: str) -> Iterator["Progress"]:
    """On a terminal's standard error: how far it is."""
    console = Console(stderr=True)
    with console.status(f"{what}: getting ready (the first time compiles for a while)") as status:

        def told(done: float, whole: float) -> None:
            status.update(f"{what}: {done / whole:.0%}")

        yield told

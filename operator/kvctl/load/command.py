"""`kvctl load`: reads the options, runs the load, prints the report."""

import asyncio
import gc
import signal
import time
from collections.abc import Callable
from random import Random
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.console import Console

from kvctl.errors import UsageError
from kvctl.kube import Kube, KubeconfigOption, NamespaceOption
from kvctl.load import precise, targets
from kvctl.load.client import Load, Target
from kvctl.load.laws import Arrivals, parse_sizes
from kvctl.load.report import PERCENTILES, summary
from kvctl.load.schedule import Plan
from kvctl.options import duration_s
from kvctl.output import Output, OutputOption, make_table, print_json

VOID = 3  # exit code of a run whose latencies say nothing
_DEFAULTS = Plan()


def load(
    *,
    cluster: Annotated[str | None, typer.Option(help="KVCluster to load, through its regions' Gateways.")] = None,
    namespace: NamespaceOption = None,
    region: Annotated[list[str] | None, typer.Option(help="Only this region of the cluster; may be repeated.")] = None,
    url: Annotated[
        list[str] | None, typer.Option(help="Load this address instead of a cluster; may be repeated.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Requests per second, for each region; the mean.")] = _DEFAULTS.rate,
    duration: Annotated[str, typer.Option(help="How long, such as 30s or 5m.")] = "30s",
    warm_up: Annotated[str, typer.Option(help="Sent before the duration, and not counted.")] = "0s",
    arrivals: Annotated[
        Arrivals, typer.Option(help="poisson; constant: evenly; diurnal: a day squeezed into the duration.")
    ] = _DEFAULTS.arrivals,
    peak: Annotated[
        float | None, typer.Option(help="Requests per second at the peak of a diurnal load; 1.6 times the mean.")
    ] = None,
    reads: Annotated[float, typer.Option(help="Share of reads; the rest are writes.")] = _DEFAULTS.reads,
    keys: Annotated[
        int, typer.Option(help="Keys per region; each is written once before the clock starts.")
    ] = _DEFAULTS.keys,
    skew: Annotated[float, typer.Option(help="Exponent of Zipf's law of the keys; 0: all alike.")] = _DEFAULTS.skew,
    value_bytes: Annotated[str, typer.Option(help="Size of the values, a range, or lognormal:MEAN:CV.")] = "1024-5120",
    max_in_flight: Annotated[
        int, typer.Option(help="Requests waiting for an answer, per region; more are dropped, and counted.")
    ] = _DEFAULTS.max_in_flight,
    timeout: Annotated[str, typer.Option(help="When to give up on an answer.")] = "5s",
    seed: Annotated[int | None, typer.Option(help="The same seed plans the same load; else each is another.")] = None,
    fail_on_errors: Annotated[
        bool, typer.Option("--fail-on-errors", help="Exit 1 if any request failed or was dropped.")
    ] = False,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send reads and writes, and say what a client felt: percentiles, rates, errors by kind.

    The load is open: requests start by a schedule, and latency counts from the time a request was meant to start.
    Every value read is checked: it must be one that was written for its key. Ctrl-C ends it early, with its report.
    A run is VOID, and exits 3, if the generator itself was late: slip p99 over 1 ms.

    Examples:

      kvctl load --cluster demo --rate 50 --duration 30s

      kvctl load --cluster demo --region eu-west --reads 0.5 --output json

      kvctl load --url http://127.0.0.1:8080 --rate 200 --duration 1m --fail-on-errors

      kvctl load --url http://127.0.0.1:8080 --arrivals diurnal --rate 300 --peak 500 --skew 0.99 --warm-up 5s
    """
    plan = Plan(
        rate=rate,
        duration_s=duration_s("duration", duration),
        warm_up_s=duration_s("warm-up", warm_up),
        arrivals=arrivals,
        peak=peak,
        reads=reads,
        keys=keys,
        skew=skew,
        sizes=parse_sizes(value_bytes),
        max_in_flight=max_in_flight,
        timeout_s=duration_s("timeout", timeout),
    )
    if bool(cluster) == bool(url) or (url and region):
        raise UsageError("say what to load: either --cluster NAME (and --region, if not all) or --url ADDRESS")
    where = [targets.of_url(one) for one in url or []]
    if cluster:
        where = targets.of_cluster(Kube.connect(kubeconfig, namespace), cluster, region or [])
    with asyncio.Runner(loop_factory=precise.new_event_loop) as runner:
        report = runner.run(_run(where, plan, Random(seed)))  # noqa: S311
    print_json(report) if output is Output.JSON else show(report)
    if fail_on_errors and (report["total"]["failed"] or report["total"]["dropped"]):
        raise typer.Exit(1)
    if report["total"]["void"]:
        raise typer.Exit(VOID)


async def _run(where: list[Target], plan: Plan, random: Random) -> dict[str, Any]:
    console = Console(stderr=True)
    async with Load(where, plan, run=uuid4().hex[:8], random=random) as sending:
        console.print(
            f"writing {plan.keys} keys in each of {', '.join(target.region for target in where)}", highlight=False
        )
        await sending.prepare()
        gc.collect()
        gc.freeze()  # collections that look at all there is take longer than a run may slip
        console.print(f"sending {plan.rate:g} requests/s to each for {plan.duration_s:g} s", highlight=False)
        loop = asyncio.get_running_loop()

        def stop() -> None:
            """Ctrl-C once: send nothing more, and still report what was seen. A second one ends the process."""
            loop.remove_signal_handler(signal.SIGINT)
            sending.stop()

        loop.add_signal_handler(signal.SIGINT, stop)
        watcher = asyncio.create_task(_progress(sending, plan.duration_s, console.print, console.is_terminal))
        try:
            elapsed_s = await sending.run()
        finally:
            watcher.cancel()
        return summary(sending.tallies, elapsed_s)


async def _progress(sending: Load, duration_s: float, say: Callable[..., None], often: bool) -> None:
    """A line now and then, so that nobody wonders whether it hangs."""
    started = time.monotonic()
    while True:
        await asyncio.sleep(1 if often else 10)
        done = sum(tally.done for tally in sending.tallies.values())
        failed = sum(tally.failed for tally in sending.tallies.values())
        gone = time.monotonic() - started
        say(
            f"{gone:.0f} of {duration_s:.0f} s: {done} answered, {failed} failed",
            highlight=False,
            end="\r" if often else "\n",
        )


def show(report: dict[str, Any]) -> None:
    """The report as tables."""
    console = Console()
    columns = ["region", "what", "requests", *(f"p{percent:g} ms" for percent in PERCENTILES), "max ms"]
    rows = []
    for region, figures in report["regions"].items():
        for what in ("reads", "hits", "writes", "slip"):
            times = figures[what]
            shown = [f"{times[f'p{percent:g}_ms']:.2f}" for percent in PERCENTILES]
            rows.append([region, what, str(times["count"]), *shown, f"{times['max_ms']:.2f}"])
    console.print(make_table(columns, rows), "", sep="\n")
    rows = []
    for region, figures in report["regions"].items():
        kinds = ", ".join(f"{kind}: {count}" for kind, count in figures["errors"].items()) or "none"
        rows.append([region, f"{figures['rate']:.1f}", str(figures["failed"]), str(figures["dropped"]), kinds])
    console.print(make_table(["region", "answered/s", "failed", "dropped", "errors"], rows))
    if why := report["total"]["void"]:
        console.print(f"\n[bold red]VOID[/]: {why}", highlight=False, soft_wrap=True)

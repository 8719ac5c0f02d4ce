"""`kvctl rollout …`: reads the options, asks, prints."""

import getpass
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.console import Console, Group
from rich.live import Live

from kvctl.errors import KvctlError, UnreachableError
from kvctl.kube import Kube, KubeconfigOption, NamespaceOption
from kvctl.options import duration_s
from kvctl.output import Output, OutputOption, make_table, print_json
from kvctl.rollout import view
from kvctl.rollout.asking import ask
from kvoperator.core.rollout.model import Verb

app = typer.Typer(help="See and steer rollouts.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the KVCluster.")]
ActorOption = Annotated[str | None, typer.Option("--as", help="Who asks, for the record. Default: user@host.")]
WithinOption = Annotated[str, typer.Option("--timeout", help="How long to wait for the operator to answer.")]

_WATCH_POLL_S = 1.0
_SILENT_POLLS = 30  # an API server that restarts is back by then


@app.command()
def status(
    name: NameArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show phase, step, weights, verdicts with what they saw, and why it waits if it does.

    Examples:

      kvctl rollout status demo

      kvctl rollout status demo -n shop --output json
    """
    found = Kube.connect(kubeconfig, namespace).cluster(name)
    if output is Output.JSON:
        print_json({"name": name, "namespace": found["metadata"]["namespace"], "status": found.get("status", {})})
    else:
        Console().print(_page(found))


@app.command()
def watch(
    name: NameArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    timeout: Annotated[str, typer.Option(help="When to stop watching; exit 1.")] = "24h",
) -> None:
    """Follow a rollout until it has come to rest. Exit 0: promoted, 3: rolled back, 4: frozen.

    Without a terminal it prints a line for each change.

    Examples:

      kvctl rollout watch demo

      kvctl rollout watch demo --timeout 15m && echo promoted
    """
    kube = Kube.connect(kubeconfig, namespace)
    deadline = time.monotonic() + duration_s("timeout", timeout)
    silent = 0
    with _screen() as show:
        while True:
            try:
                found = kube.cluster(name)
            except UnreachableError:
                silent += 1
                if silent > _SILENT_POLLS:
                    raise
            else:
                silent = 0
                show(found)
                if (code := view.ending(found)) is not None:
                    raise typer.Exit(code)
            if time.monotonic() > deadline:
                raise KvctlError(f"the rollout of {name} has not come to rest in {timeout}; it goes on by itself")
            time.sleep(_WATCH_POLL_S)


@app.command()
def promote(
    name: NameArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    actor: ActorOption = None,
    timeout: WithinOption = "30s",
) -> None:
    """Skip the rest of the steps: straight to 100 % and bake.

    Example:

      kvctl rollout promote demo
    """
    _ask(Verb.PROMOTE, name, namespace, kubeconfig, actor, timeout)


@app.command()
def abort(
    name: NameArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    actor: ActorOption = None,
    timeout: WithinOption = "30s",
) -> None:
    """Roll back now: the canary's share goes to 0, the spec stays as it is.

    Example:

      kvctl rollout abort demo --as "on call"
    """
    _ask(Verb.ABORT, name, namespace, kubeconfig, actor, timeout)


@app.command()
def pause(
    name: NameArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    actor: ActorOption = None,
    timeout: WithinOption = "30s",
) -> None:
    """Let no step end; the gates go on looking, and a Fail still rolls back.

    Example:

      kvctl rollout pause demo
    """
    _ask(Verb.PAUSE, name, namespace, kubeconfig, actor, timeout)


@app.command()
def resume(
    name: NameArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    actor: ActorOption = None,
    timeout: WithinOption = "30s",
) -> None:
    """Go on after a pause.

    Example:

      kvctl rollout resume demo
    """
    _ask(Verb.RESUME, name, namespace, kubeconfig, actor, timeout)


@app.command()
def retry(
    name: NameArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    actor: ActorOption = None,
    timeout: WithinOption = "30s",
) -> None:
    """Try a release again that was rolled back or frozen, from 0 %.

    Example:

      kvctl rollout retry demo
    """
    _ask(Verb.RETRY, name, namespace, kubeconfig, actor, timeout)


def _ask(verb: Verb, name: str, namespace: str | None, kubeconfig: Any, actor: str | None, timeout: str) -> None:
    kube = Kube.connect(kubeconfig, namespace)
    who = actor or f"{getpass.getuser()}@{socket.gethostname()}"
    print(ask(kube, name, verb, identity=str(uuid4()), actor=who, within_s=duration_s("timeout", timeout)))


@contextmanager
def _screen() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Shows a cluster: in place on a terminal, else as a line when that line is a new one."""
    console = Console()
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda found: live.update(_page(found), refresh=True)
        return
    last = ""

    def say(found: dict[str, Any]) -> None:
        nonlocal last
        if (said := view.line(found)) != last:
            last = said
            print(f"{time.strftime('%H:%M:%S')} {said}", flush=True)

    yield say


def _page(found: dict[str, Any]) -> Group:
    name = f"{found['metadata']['namespace']}/{found['metadata']['name']}"
    tables = [
        make_table(["rollout", name], view.summary(found)),
        make_table(["region", "pods", "weights"], view.regions(found)),
        make_table(["region", "requests/s", "p95 predicted", "p95 observed", "at"], view.latencies(found)),
        make_table(
            ["region", "gate", "verdict", "canary bad/all", "stable bad/all", "evidence", "says"], view.verdicts(found)
        ),
        make_table(["condition", "is", "reason", "message"], view.conditions(found)),
    ]
    return Group(*(part for table in tables if table.row_count for part in (table, "")))

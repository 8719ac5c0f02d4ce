"""`kvctl dev`: the embedded cluster, as commands. Reads options and prints; `kvdev` does the work."""

import asyncio
import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kvctl.demo import deploy
from kvctl.demo.deploy import Storage
from kvctl.errors import UsageError
from kvctl.output import Output, OutputOption, make_table, print_json
from kvdev import cluster, images
from kvdev.plane import commands
from kvdev.state import GATEWAY_PORT, ClusterState, directory_of, load

app = typer.Typer(
    help="The embedded cluster: a real Kubernetes control plane whose pods are processes of this machine.",
    no_args_is_help=True,
)
image_app = typer.Typer(help="Images that the cluster's pods run.", no_args_is_help=True)
app.add_typer(image_app, name="image")

NameOption = Annotated[str, typer.Option(help="Name of the cluster.")]
KeepOption = Annotated[bool, typer.Option("--keep-volumes", help="Leave the claims' data in place.")]


@app.command()
def up(
    *,
    name: NameOption = "dev",
    regions: Annotated[
        list[str] | None, typer.Option(help="A region and its zones, such as eu-west=a,b; may be repeated.")
    ] = None,
    keep_volumes: KeepOption = False,
    storage: Annotated[
        Storage | None, typer.Option(help="Also run a KVCluster, named kv, that keeps its records there.")
    ] = None,
) -> None:
    """Start a cluster, or say that it runs already; what a crash left is cleared first.

    With --storage it runs a KVCluster when the command returns; one that is there gets the settings asked for.

    Examples:

      kvctl dev up

      kvctl dev up --storage cassandra

      kvctl dev up --name small --regions eu-west=a --regions us-east=a,b
    """
    wanted, say = dict(_region(text) for text in regions) if regions else None, _progress()
    if storage:
        deploy.prepare(storage, say)
    state = asyncio.run(cluster.up(name, wanted, keep_volumes=keep_volumes, say=say))
    after = "kubectl get nodes"
    if storage:
        asyncio.run(deploy.deploy(state, storage, say))
        after = f"kvctl load --cluster {deploy.NAME} --duration 20s"
    print(f"next: eval $(kvctl dev env --name {state.name}) && {after}")


@app.command()
def down(*, name: NameOption = "dev", keep_volumes: KeepOption = False) -> None:
    """End the cluster: no process, no port and no file of it stays.

    Example:

      kvctl dev down
    """
    asyncio.run(cluster.down(name, keep_volumes=keep_volumes, say=_progress()))


@app.command()
def status(*, name: NameOption = "dev", output: OutputOption = Output.TABLE) -> None:
    """What runs of the cluster, and where it is reached; exit code 1 when a part does not run.

    Examples:

      kvctl dev status

      kvctl dev status --output json
    """
    found = cluster.status(name)
    addresses = _addresses(found.state)
    if output is Output.JSON:
        parts = {part.name: {"pid": part.pid, "running": part.running} for part in found.parts}
        print_json({"name": name, "running": found.running, "parts": parts, "addresses": addresses})
    else:
        rows = [[part.name, str(part.pid), "running" if part.running else "stopped"] for part in found.parts]
        console = Console()
        console.print(make_table(["PART", "PID", "STATE"], rows))
        console.print(make_table(["WHAT", "ADDRESS"], [[what, address] for what, address in addresses.items()]))
    if not found.running:
        raise typer.Exit(1)


@app.command()
def logs(
    what: Annotated[str, typer.Argument(metavar="PART|POD", help="A part (see `kvctl dev status`) or a pod.")],
    *,
    name: NameOption = "dev",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of the pod.")] = "default",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
) -> None:
    """Show the log of a part, or of a pod as `kubectl logs` does.

    Examples:

      kvctl dev logs kube-apiserver -f

      kvctl dev logs kvoperator-0 -n kvcluster-system
    """
    command = log_command(load(directory_of(name)), what, namespace=namespace, follow=follow)
    os.execv(command[0], command)  # noqa: S606 it takes our place: its output, its signals, its exit code


@app.command()
def env(*, name: NameOption = "dev") -> None:
    """Print the shell lines that make kubectl and kvctl speak to this cluster.

    Example:

      eval $(kvctl dev env)
    """
    state = load(directory_of(name))
    print(f"export KUBECONFIG={shlex.quote(str(state.kubeconfig))};")
    print(f'export PATH={shlex.quote(str(state.programs))}:"$PATH";')


@image_app.command("build")
def image_build(
    image: Annotated[str, typer.Argument(metavar="NAME:TAG")],
    *,
    package: Annotated[list[Path], typer.Option(help="Folder of a Python package; may be repeated.")],
    program: Annotated[
        list[str], typer.Option(help="A command of the image, such as kvservice=kvservice.main:main; may be repeated.")
    ],
    env: Annotated[list[str] | None, typer.Option(help="A variable NAME=value; may be repeated.")] = None,
) -> None:
    """Build an image from Python packages; one of that name is replaced in one step.

    Example:

      kvctl dev image build kvservice:1.5.0 --package service/kvservice --program kvservice=kvservice.main:main
    """
    programs = dict(_pair(text, "--program", "kvservice=kvservice.main:main") for text in program)
    variables = dict(_pair(text, "--env", "NAME=value") for text in env or ())
    print(images.build(image, packages=package, programs=programs, env=variables))


@image_app.command("list")
def image_list(*, output: OutputOption = Output.TABLE) -> None:
    """List the images there are.

    Example:

      kvctl dev image list --output json
    """
    found = images.list_images()
    if output is Output.JSON:
        print_json([{"name": image.name, "tag": image.tag, "path": image.path, "env": image.env} for image in found])
    else:
        rows = [[f"{image.name}:{image.tag}", str(image.path)] for image in found]
        Console().print(make_table(["IMAGE", "FOLDER"], rows))


def log_command(state: ClusterState, what: str, *, namespace: str, follow: bool) -> list[str]:
    """The program that shows this log; parts come before pods, whose names end in other ways."""
    flag = ["-f"] if follow else []
    if what in commands.COMMANDS:
        return ["/usr/bin/env", "tail", "-n", "+1", *flag, str(state.logs / f"{what}.log")]
    options = [f"--kubeconfig={state.kubeconfig}", f"--namespace={namespace}"]
    return [str(state.programs / "kubectl"), *options, "logs", *flag, "--", what]


def _addresses(state: ClusterState) -> dict[str, str]:
    gateways = {
        f"gateway {region}": f"http://{state.gateway_address(index)}:{GATEWAY_PORT}"
        for index, region in enumerate(state.regions)
    }
    return {
        "kubeconfig": str(state.kubeconfig),
        "API server": state.api_url,
        "Prometheus": state.prometheus_url,
        "Envoy admin": state.envoy_admin_url,
        **gateways,
    }


def _region(text: str) -> tuple[str, list[str]]:
    region, zones = _pair(text, "--regions", "eu-west=a,b")
    return region, zones.split(",")


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(f"{option} {text!r} is no NAME=VALUE; write it like {option} {example}")
    return name, value


def _progress() -> Callable[[str], None]:
    begun = time.monotonic()
    return lambda line: print(f"[{time.monotonic() - begun:4.0f} s] {line}", flush=True)

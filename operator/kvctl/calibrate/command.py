"""`kvctl calibrate`: reads the options, watches the service, writes what a plan reads. numpy comes when needed."""

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console

from kvctl.calibrate.source import of_pages, of_prometheus
from kvctl.errors import UsageError

if TYPE_CHECKING:
    from kvctl.calibrate.findings import Findings

MAX_SECONDS = 86_400.0


class Format(StrEnum):
    YAML = "yaml"
    JSON = "json"
    MANIFEST = "manifest"


def calibrate(
    *,
    metrics_url: Annotated[
        list[str] | None, typer.Option(help="Metrics page of a pod, such as http://pod:9090/metrics; may be repeated.")
    ] = None,
    prometheus: Annotated[str | None, typer.Option(help="Address of a Prometheus that knows the pods.")] = None,
    cluster: Annotated[str | None, typer.Option(help="With --prometheus: the KVCluster.")] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="With --prometheus: its namespace.")] = "default",
    seconds: Annotated[float, typer.Option(help="How long to watch; with --prometheus: how far to look back.")] = 30.0,
    output: Annotated[
        Format,
        typer.Option("--output", "-o", help="yaml for kvctl plan, manifest for a KVCluster, json with all reasons."),
    ] = Format.YAML,
) -> None:
    """Measure what requests cost the running service, for `kvctl plan --service FILE`.

    CPU of the pods over requests of each kind, how uneven they are, and the store's times; what the counters do not
    tell is left out, and said so. The service must have load meanwhile: a mixture that changes tells most.

    Examples:

      kvctl calibrate --metrics-url http://127.0.0.1:9090/metrics --seconds 60 > service.yaml

      kvctl calibrate --prometheus http://127.0.0.1:9091 --cluster demo --seconds 600 --output json
    """
    from kvctl.calibrate.findings import findings

    if not 1 <= seconds <= MAX_SECONDS:
        raise UsageError(f"--seconds is {seconds:g}; expected 1 to {MAX_SECONDS:g}")
    if bool(metrics_url) == bool(prometheus) or bool(prometheus) != bool(cluster):
        raise UsageError("say where to look: either --metrics-url ADDRESS, or --prometheus ADDRESS and --cluster NAME")
    watched = (
        of_prometheus(prometheus, cluster, namespace, seconds)
        if prometheus and cluster
        else of_pages(metrics_url or [], seconds)
    )
    found = findings(watched.intervals, pod_seconds=watched.pod_seconds, pods=watched.pods)
    for warning in found.warnings:
        Console(stderr=True).print(f"[bold yellow]warning[/]: {warning}", highlight=False, soft_wrap=True)
    match output:
        case Format.YAML:
            print(as_yaml(found))
        case Format.MANIFEST:
            print(as_manifest(found))
        case Format.JSON:
            print(json.dumps(as_data(found), indent=2))


def as_data(found: "Findings") -> dict[str, Any]:
    return {
        "service": found.service,
        "measured": {name: note for name, note in found.notes.items() if name in found.service},
        "notMeasured": {name: note for name, note in found.notes.items() if name not in found.service},
        "about": found.about,
        "warnings": list(found.warnings),
    }


def as_manifest(found: "Findings") -> str:
    """`spec.workload.service` of a KVCluster, which takes no ranges."""
    times = {
        name: {
            "meanMs": float(f"{1000 * (time['mean']['mid'] if isinstance(time['mean'], dict) else time['mean']):.4g}"),
            **({"cv": time["cv"]} if "cv" in time else {}),
        }
        for name, time in found.service.items()
    }
    fragment = {"spec": {"workload": {"service": times}}}
    return f"# {found.about}.\n" + yaml.safe_dump(fragment, default_flow_style=None, sort_keys=False).rstrip()


def as_yaml(found: "Findings") -> str:
    """All fields of a plan's `service`, each with a comment; those that were not measured are comments only."""
    from kvplan.plan.inputs import Service

    lines = [f"# Written by kvctl calibrate. {found.about}."]
    lines += [f"# Warning: {warning}." for warning in found.warnings]
    for name, field in Service.model_fields.items():
        key = field.alias or name
        if key in found.service:
            shown = yaml.safe_dump({key: found.service[key]}, default_flow_style=None, sort_keys=False).rstrip()
            lines += [f"# {found.notes[key]}", shown]
        else:
            lines.append(f"# {key}: not measured: {found.notes[key]}")
    return "\n".join(lines)

"""Services and Pods -> who serves which Service's port. Pure: the part of kube-proxy that decides.

Kubernetes' EndpointSlices refuse loopback addresses, so the ready pods are chosen here, by selector.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]  # namespace, name
Objects = Mapping[Key, Object]


@dataclass(frozen=True)
class Backend:
    """One TCP port of a Service with a selector. `cluster_ip` is empty for a headless Service."""

    name: str  # the Envoy cluster's: <namespace>/<service>/<port>
    cluster_ip: str
    port: int
    endpoints: tuple[tuple[str, int], ...]


def backend_name(namespace: str, service: str, port: int) -> str:
    return f"{namespace}/{service}/{port}"


def backends(services: Objects, pods: Objects) -> dict[str, Backend]:
    """By name. A Service without ready pods has a backend without endpoints."""
    ready: dict[str, list[Object]] = {}
    for (namespace, _), pod in sorted(pods.items()):
        if _is_ready(pod):
            ready.setdefault(namespace, []).append(pod)
    found = {}
    for (namespace, name), service in services.items():
        for port in _ports(service):
            chosen = _selected(service["spec"]["selector"], ready.get(namespace, []))
            address = service["spec"].get("clusterIP", "None")
            key = backend_name(namespace, name, port["port"])
            found[key] = Backend(
                name=key,
                cluster_ip="" if address == "None" else address,
                port=port["port"],
                endpoints=tuple(sorted(_endpoints(chosen, port))),
            )
    return found


def _ports(service: Object) -> Iterator[Object]:
    spec = service["spec"]
    if spec.get("selector") and spec.get("type") != "ExternalName":
        yield from (port for port in spec.get("ports", []) if port.get("protocol", "TCP") == "TCP")


def _selected(selector: Mapping[str, str], pods: list[Object]) -> list[Object]:
    return [pod for pod in pods if selector.items() <= (pod["metadata"].get("labels") or {}).items()]


def _endpoints(pods: list[Object], port: Object) -> Iterator[tuple[str, int]]:
    for pod in pods:
        target = _target(pod, port.get("targetPort") or port["port"])
        if target is not None:
            yield pod["status"]["podIP"], target


def _target(pod: Object, port: int | str) -> int | None:
    """The port's number in this pod: each pod gives a named port the number that it likes."""
    if isinstance(port, int):
        return port
    named = (p for c in pod["spec"]["containers"] for p in c.get("ports", []) if p.get("name") == port)
    number: int | None = next((p["containerPort"] for p in named), None)
    return number


def _is_ready(pod: Object) -> bool:
    """A pod that is being deleted is out at once, while it still serves what it has."""
    status = pod.get("status", {})
    return bool(
        status.get("podIP")
        and not pod["metadata"].get("deletionTimestamp")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    )

"""What Envoy is to be, made from the cluster's objects. Pure; `xds.py` brings it about, `status.py` tells of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvdev.gateway.envoy import Resource, cluster, endpoints, http_listener, tcp_listener
from kvdev.gateway.routes import Attached, attach, config_name, is_served
from kvdev.gateway.services import Backend, Key, Object, Objects, backends

CLASS = "kvdev"
NAMESPACE = "default"  # of the regions' Gateways
INDEXES = range(254)  # of Gateways' addresses
PORT_SHIFT = 8000


@dataclass(frozen=True)
class Resources:
    """Envoy's resources by name."""

    clusters: Mapping[str, Resource]
    endpoints: Mapping[str, Resource]
    routes: Mapping[str, Resource]
    listeners: Mapping[str, Resource]


@dataclass(frozen=True)
class Plan:
    resources: Resources
    attached: Attached
    gateways: Objects  # those served: of our class, with an address
    addresses: Mapping[Key, str]


def plan(
    directory: Path,
    *,
    services: Objects,
    pods: Objects,
    routes: Objects,
    gateways: Objects,
    addresses: Mapping[Key, str],
    first_port: int,
) -> Plan:
    """`addresses`: Gateway -> its address; `first_port`: lowest port that this user may bind."""
    there = backends(services, pods)
    served = {key: gateway for key, gateway in sorted(gateways.items()) if key in addresses}
    attached = attach(served, routes, there)
    resources = Resources(
        clusters={name: cluster(directory, name) for name in there},
        endpoints={name: endpoints(name, backend.endpoints) for name, backend in there.items()},
        routes=attached.configs,
        listeners={
            **_service_listeners(there, first_port),
            **_gateway_listeners(directory, served, addresses, first_port),
        },
    )
    return Plan(resources, attached, served, addresses)


def ours(gateways: Objects) -> dict[Key, Object]:
    return {key: gateway for key, gateway in gateways.items() if gateway["spec"]["gatewayClassName"] == CLASS}


def allot(known: Mapping[Key, int], gateways: Objects, regions: Sequence[str]) -> dict[Key, int]:
    """Gateway -> index of its address. A region's Gateway has the region's place; others take the first free one
    after those and keep it while they are there. Beyond the last index a Gateway gets none."""
    reserved = {(NAMESPACE, region): index for index, region in enumerate(regions)}
    held = {key: known.get(key) for key in gateways if key not in reserved}
    free = iter(sorted(set(INDEXES[len(regions) :]) - set(held.values())))
    others = {key: next(free, None) if index is None else index for key, index in sorted(held.items())}
    mine = {key: index for key, index in reserved.items() if key in gateways}
    return mine | {key: index for key, index in others.items() if index is not None}


def bound_port(port: int, first_port: int) -> int:
    """Ports that this user may not bind are served 8000 higher: 80 on 8080."""
    return port if port >= first_port else port + PORT_SHIFT


def _service_listeners(there: Mapping[str, Backend], first_port: int) -> dict[str, Resource]:
    found = {}
    for name, backend in there.items():
        if backend.cluster_ip:
            listener = f"service/{name}"
            port = bound_port(backend.port, first_port)
            found[listener] = tcp_listener(listener, backend.cluster_ip, port, name)
    return found


def _gateway_listeners(
    directory: Path, served: Objects, addresses: Mapping[Key, str], first_port: int
) -> dict[str, Resource]:
    found = {}
    for key, gateway in served.items():
        for port in {listener["port"] for listener in gateway["spec"]["listeners"] if is_served(listener)}:
            config = config_name(key, port)
            listener = f"gateway/{config}"
            at = bound_port(port, first_port)
            found[listener] = http_listener(directory, listener, addresses[key], at, config)
    return found

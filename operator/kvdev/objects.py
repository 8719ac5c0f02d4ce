"""The Kubernetes objects that every cluster starts with: CRDs, gateways, the storage class, the operator."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from kvdev.client import Api
from kvdev.errors import KvdevError
from kvdev.gateway.status import CONTROLLER
from kvdev.plane import ready
from kvdev.state import GATEWAY_PORT, ClusterState

Object = dict[str, Any]

MANAGER = "kvdev"
GATEWAY_CLASS = "kvdev"
GATEWAY_API = "gateway.networking.k8s.io/v1"
PROMETHEUS_VARIABLE = "KVOPERATOR_PROMETHEUS_URL"
OPERATOR = Path(__file__).parents[1] / "install.yaml"
OWN_CRDS = Path(__file__).parents[2] / "crds"


async def install_crds(api: Api, state: ClusterState, gateway_crds: Iterable[Path]) -> None:
    """Gateway API's CRDs and ours; returns when the API server serves all of them."""
    crds = [crd for path in (*gateway_crds, *sorted(OWN_CRDS.glob("*.yaml"))) for crd in _read(path)]
    for crd in crds:
        await api.apply(crd, manager=MANAGER)

    async def served() -> bool:
        return all([await _is_served(api, crd) for crd in crds])

    await ready.until(state, "the serving of the CRDs", served)


async def install(api: Api, state: ClusterState) -> None:
    """All else; the operator, where the tree has its manifest, is told where this cluster's Prometheus is."""
    operator = [with_prometheus(obj, state.prometheus_url) for obj in _read(OPERATOR)] if OPERATOR.exists() else []
    for obj in (gateway_class(), *map(gateway, state.regions), storage_class(), *operator):
        await api.apply(obj, manager=MANAGER)


def gateway_class() -> Object:
    return {
        "apiVersion": GATEWAY_API,
        "kind": "GatewayClass",
        "metadata": {"name": GATEWAY_CLASS},
        "spec": {"controllerName": CONTROLLER},
    }


def gateway(region: str) -> Object:
    """The entrance of one region, open to routes of all namespaces."""
    listener = {
        "name": "http",
        "protocol": "HTTP",
        "port": GATEWAY_PORT,
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    return {
        "apiVersion": GATEWAY_API,
        "kind": "Gateway",
        "metadata": {"name": region, "namespace": "default"},
        "spec": {"gatewayClassName": GATEWAY_CLASS, "listeners": [listener]},
    }


def storage_class() -> Object:
    """Claims become folders, made by the agent."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kvdev.kvcluster.dev/folder",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": False,
    }


def with_prometheus(obj: Object, url: str) -> Object:
    """The object, a Deployment's containers given the address of Prometheus where they ask for one."""
    if obj["kind"] == "Deployment":
        for container in obj["spec"]["template"]["spec"]["containers"]:
            for variable in container.get("env", []):
                if variable["name"] == PROMETHEUS_VARIABLE:
                    variable["value"] = url
    return obj


async def _is_served(api: Api, crd: Object) -> bool:
    """Whether its kind is discovered and listed: "Established" comes a moment before both."""
    group, names = crd["spec"]["group"], crd["spec"]["names"]
    version = next(version["name"] for version in crd["spec"]["versions"] if version["served"])
    try:
        path = await api.path_of({"apiVersion": f"{group}/{version}", "kind": names["kind"], "metadata": {}})
        await api.request("GET", path, query={"limit": "1"})
    except KvdevError:
        return False
    return True


def _read(path: Path) -> list[Object]:
    # The C parser: a route's CRD is 430 KB of YAML.
    return [obj for obj in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader) if obj]

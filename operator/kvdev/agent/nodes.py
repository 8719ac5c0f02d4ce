"""The nodes as the API server sees them: registered with their topology, ready, their leases renewed.

What a node offers is a claim, not a measurement: processes of all nodes share this machine and nothing is enforced,
so that manifests with a production's requests fit on a laptop.
"""

import asyncio
import logging
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kvdev.client import MERGE_PATCH, Api, ApiError, UnreachableError
from kvdev.state import ClusterState

log = logging.getLogger(__name__)

Object = dict[str, Any]

MANAGER = "kvdev-agent"
LOGS_PORT = 10250
RENEW_S = 2.0  # the node controller of this cluster gives a node up after 8 s
STALLED_S = 5.0  # after such a gap the controller may have marked the node: say Ready again
STATUS_S = 60.0
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
OFFERED = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Node:
    name: str
    region: str
    zone: str
    address: str


def of_cluster(state: ClusterState) -> list[Node]:
    """The cluster's nodes, in the order of their addresses."""
    places = [(region, zone) for region, zones in state.regions.items() for zone in zones]
    return [
        Node(f"{region}-{zone}", region, zone, state.node_address(index)) for index, (region, zone) in enumerate(places)
    ]


async def keep(node: Node, api: Api) -> None:
    """Register the node and keep it alive until cancelled; an API server that is away is waited for."""
    said_ready = renewed = -STATUS_S
    while True:
        now = time.monotonic()
        try:
            if now - said_ready >= STATUS_S or now - renewed >= STALLED_S:
                await _register(node, api)
                said_ready = now
            await api.apply(lease(node, datetime.now(UTC)), manager=MANAGER)
            renewed = now
        except ApiError as e:
            said_ready = -STATUS_S  # perhaps the node was deleted
            log.warning("node not renewed", extra={"node": node.name, "error": str(e)})
        except UnreachableError:
            pass  # the informers say so, once
        await asyncio.sleep(RENEW_S)


async def _register(node: Node, api: Api) -> None:
    await api.apply(manifest(node), manager=MANAGER)
    body = {"status": status(node, datetime.now(UTC))}
    await api.request("PATCH", f"/api/v1/nodes/{node.name}/status", body=body, content_type=MERGE_PATCH)


def manifest(node: Node) -> Object:
    labels = {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": _architecture(),
        "topology.kubernetes.io/region": node.region,
        "topology.kubernetes.io/zone": node.zone,
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name, "labels": labels}}


def status(node: Node, now: datetime) -> Object:
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    pressures = ("MemoryPressure", "DiskPressure", "PIDPressure")
    conditions = [_condition(kind, "False", "NotMeasured", "nothing is measured here", moment) for kind in pressures]
    ready = _condition("Ready", "True", "AgentReady", "the node agent runs pods as local processes", moment)
    return {
        "capacity": OFFERED,
        "allocatable": OFFERED,
        "addresses": [{"type": "InternalIP", "address": node.address}, {"type": "Hostname", "address": node.name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": LOGS_PORT}},
        "conditions": [*conditions, ready],
        "nodeInfo": _info(),
    }


def lease(node: Node, now: datetime) -> Object:
    spec = {
        "holderIdentity": node.name,
        "leaseDurationSeconds": 40,
        "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    metadata = {"name": node.name, "namespace": "kube-node-lease"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def _condition(kind: str, holds: str, reason: str, message: str, moment: str) -> Object:
    times = {"lastHeartbeatTime": moment, "lastTransitionTime": moment}
    return {"type": kind, "status": holds, "reason": reason, "message": message, **times}


def _info() -> Object:
    unknown = dict.fromkeys(("machineID", "systemUUID", "bootID"), "")
    return unknown | {
        "kernelVersion": platform.release(),
        "osImage": "this machine",
        "containerRuntimeVersion": "process://1",
        "kubeletVersion": "kvdev",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": _architecture(),
    }


def _architecture() -> str:
    return ARCHITECTURES.get(platform.machine(), platform.machine())

"""Puts a KVCluster into an embedded cluster, and waits until it serves."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from kvctl.demo import images
from kvctl.demo.observe import cluster_path
from kvctl.errors import ClusterError
from kvdev.client import Api
from kvdev.images import build_cassandra
from kvdev.parts import cassandra
from kvdev.state import ClusterState

Say = Callable[[str], None]
NAME, NAMESPACE = "kv", "default"
MANIFEST = Path(__file__).with_name("dev.yaml")
READY_WITHIN_S = 180.0
CASSANDRA_WITHIN_S = 420.0


class Storage(StrEnum):
    EMBEDDED = "embedded"
    CASSANDRA = "cassandra"


_SMALL = {"nodesPerRegion": 1, "replicationFactor": 1, "size": "1Gi", "memory": "768Mi"}


def prepare(storage: Storage, say: Say) -> None:
    """Builds the images. Raises KvdevError, before anything is started, if a part of them cannot be had."""
    if storage is Storage.CASSANDRA:
        cassandra.jars(say)
    say("building images")
    images.build_all()
    if storage is Storage.CASSANDRA:
        build_cassandra()


async def deploy(state: ClusterState, storage: Storage, say: Say) -> None:
    """The KVCluster `kv`, in all regions of the cluster, ready. Raises ClusterError."""
    say(f"kubectl apply: KVCluster {NAME} with storage.{storage}")
    await kubectl(state, "apply", "-f", "-", stdin=json.dumps(manifest(state, storage)))
    api = await Api.connect(state.kubeconfig)
    try:
        await ready(api, NAME, say, CASSANDRA_WITHIN_S if storage is Storage.CASSANDRA else READY_WITHIN_S)
    finally:
        await api.close()


def manifest(state: ClusterState, storage: Storage) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(MANIFEST.read_text())
    regions = [{"name": name, "zones": list(zones), "replicas": 2} for name, zones in state.regions.items()]
    kinds = {Storage.EMBEDDED: {"embedded": {}}, Storage.CASSANDRA: {"cassandra": _SMALL}}
    found["metadata"] |= {"name": NAME, "namespace": NAMESPACE}
    found["spec"] |= {"regions": regions, "storage": kinds[storage]}
    return found


async def ready(api: Api, name: str, say: Say, within_s: float) -> dict[str, Any]:
    """The KVCluster, once its condition Ready is True; what it waits for is said as it changes."""
    deadline = time.monotonic() + within_s
    said = ""
    while time.monotonic() < deadline:
        found = await api.request("GET", cluster_path(NAMESPACE, name))
        conditions = {one["type"]: one for one in found.get("status", {}).get("conditions", [])}
        condition = conditions.get("Ready", {"status": "Unknown", "message": "no operator has looked at it yet"})
        if condition["status"] == "True":
            say(f"KVCluster {name} is Ready in all regions")
            return found
        if condition["message"] != said:
            said = condition["message"]
            say(f"waiting: {said}")
        await asyncio.sleep(0.5)
    raise ClusterError(f"KVCluster {name} was not Ready in {within_s:g} s: {said}; see kubectl get pods")


async def kubectl(state: ClusterState, *arguments: str, stdin: str = "") -> None:
    process = await asyncio.create_subprocess_exec(
        state.programs / "kubectl",
        *arguments,
        env={**os.environ, "KUBECONFIG": str(state.kubeconfig)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(stdin.encode())
    if process.returncode:
        raise ClusterError(f"kubectl {' '.join(arguments)} failed: {' '.join(said.decode(errors='replace').split())}")

"""The operator as it is installed: its own process, with no more rights than operator/install.yaml gives it."""

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvdev.client import Api
from kvdev.state import ClusterState

pytestmark = pytest.mark.real
Object = dict[str, Any]
INSTALL = Path(__file__).parents[2] / "operator" / "install.yaml"
ACCOUNT = "/api/v1/namespaces/kvcluster-system/serviceaccounts/kvoperator/token"
OPERATOR = [sys.executable, "-c", "from kvoperator.runtime.main import main; main()"]
DEADLINE_S = 30.0  # a bound for a machine under load


@pytest.fixture
async def namespace(api: Api) -> str:
    name = f"test-{uuid.uuid4().hex[:8]}"
    await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager="test")
    return name


@pytest.fixture
async def environment(api: Api, control_plane: ClusterState, tmp_path: Path) -> dict[str, str]:
    """What the operator's pod would have: a kubeconfig with its service account's token, and its settings."""
    for manifest in yaml.safe_load_all(INSTALL.read_text()):
        if manifest["kind"] != "Deployment":
            await api.apply(manifest, manager="test")
    kubeconfig = yaml.safe_load(control_plane.kubeconfig.read_text())
    token = await api.request("POST", ACCOUNT, body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"})
    kubeconfig["users"][0]["user"] = {"token": token["status"]["token"]}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig))
    own = {"KUBECONFIG": str(path), "KVOPERATOR_PROMETHEUS_URL": "http://127.0.0.1:9"}
    address = {"KVOPERATOR_HEALTH_ADDRESS": control_plane.node_address(7), "KVOPERATOR_HEALTH_PORT": "18081"}
    return dict(os.environ) | own | address


@pytest.fixture
async def operator(environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    output = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*OPERATOR, env=environment, stdout=output, stderr=output)
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate()


def _shop(namespace: str, **spec: Any) -> Object:
    region = {"name": "eu-west", "zones": ["a"], "replicas": 1}
    full = {"release": {"image": "kvservice:1"}, "regions": [region]} | spec
    metadata = {"name": "shop", "namespace": namespace}
    return {"apiVersion": "kvcluster.dev/v1alpha1", "kind": "KVCluster", "metadata": metadata, "spec": full}


async def _until(what: str, reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await reached():  # noqa: ASYNC110 the other is another process
            await asyncio.sleep(0.1)


async def _names(api: Api, path: str) -> list[str]:
    return [one["metadata"]["name"] for one in (await api.request("GET", path))["items"]]


def _audit(control_plane: ClusterState) -> list[str]:
    """The operator's own writes so far."""
    lines = (control_plane.logs / "audit.log").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    own = [one for one in events if one["user"]["username"].endswith(":kvoperator")]
    return [f"{one['verb']} {one['requestURI']} {one['responseStatus']['code']}" for one in own]


async def _confirm(api: Api, namespace: str) -> None:
    """What the gateway would say of the route."""
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/shop-eu-west"
    route = await api.request("GET", path)
    accepted = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
    accepted |= {"observedGeneration": route["metadata"]["generation"], "lastTransitionTime": "2030-01-01T00:00:00Z"}
    [gateway] = route["spec"]["parentRefs"]
    parent = {"parentRef": gateway, "controllerName": "test/gateway", "conditions": [accepted]}
    merge = "application/merge-patch+json"
    await api.request("PATCH", f"{path}/status", body={"status": {"parents": [parent]}}, content_type=merge)


async def test_a_manifest_becomes_objects_and_what_is_done_to_them_is_undone(
    api: Api, namespace: str, operator: asyncio.subprocess.Process, control_plane: ClusterState
) -> None:
    await api.apply(_shop(namespace), manager="kubectl")
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    async def routed() -> bool:
        routes = f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes"
        return await _names(api, routes) == ["shop-eu-west"]

    await _until("the route", routed)
    await _confirm(api, namespace)
    [name] = await _names(api, deployments)
    await api.request("DELETE", f"/api/v1/namespaces/{namespace}/services/{name}")
    path, edit = f"{deployments}/{name}", {"spec": {"replicas": 3}}
    merge = "application/merge-patch+json"
    edited = await api.request("PATCH", f"{path}?fieldManager=kubectl-edit", body=edit, content_type=merge)
    assert edited["spec"]["replicas"] == 3

    async def repaired() -> bool:
        services = await _names(api, f"/api/v1/namespaces/{namespace}/services")
        return name in services and (await api.request("GET", path))["spec"]["replicas"] == 1

    await _until("the repair", repaired)
    assert not [write for write in _audit(control_plane) if write.endswith((" 403", " 404", " 422", " 500"))]


async def test_it_ends_with_zero_when_told_to(
    api: Api, namespace: str, operator: asyncio.subprocess.Process, environment: dict[str, str]
) -> None:
    await api.apply(_shop(namespace), manager="kubectl")

    async def known() -> bool:
        shop = await api.request("GET", f"/apis/kvcluster.dev/v1alpha1/namespaces/{namespace}/kvclusters/shop")
        return "status" in shop

    await _until("the status", known)
    operator.send_signal(signal.SIGTERM)
    _, errors = await asyncio.wait_for(operator.communicate(), DEADLINE_S)

    assert (operator.returncode, b"Traceback" in errors) == (0, False)


async def test_without_rights_it_says_which_and_ends(environment: dict[str, str], api: Api) -> None:
    binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kvoperator"
    await api.request("DELETE", binding)
    output = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*OPERATOR, env=environment, stdout=output, stderr=output)

    _, errors = await asyncio.wait_for(process.communicate(), DEADLINE_S)

    message = "kvoperator: KVCluster (kvcluster.dev/v1alpha1) may not be listed: apply operator/install.yaml"
    assert (process.returncode, errors.decode().strip()) == (1, message)

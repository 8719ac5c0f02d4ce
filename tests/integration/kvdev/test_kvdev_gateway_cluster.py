"""The gateway in a real cluster: statuses that the API server takes, Deployments that roll without a failed request."""

import asyncio
import json
import os
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kvdev import cluster, images, parts
from kvdev.client import APPLY, Api
from kvdev.gateway import observe
from kvdev.state import GATEWAY_PORT, ClusterState, cache_home

pytestmark = pytest.mark.real

NAME = f"gateway-{os.getpid()}"
HOST = "web.default.kv"
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes"
CONFIG, OLD, NEW = f"default/eu-west/{GATEWAY_PORT}", "default/old/8080", "default/new/8080"
DEADLINE_S = 40.0

Object = dict[str, Any]

WEB = """
import http.server, os, signal, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_):
        pass
    def do_GET(self):
        body = os.environ["APP"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
def main():
    drain = threading.Timer(2, lambda: os._exit(0))
    signal.signal(signal.SIGTERM, lambda *_: drain.start())
    http.server.ThreadingHTTPServer((os.environ["BIND"], 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterState]:
    """A cluster and an image store of our own, with two Deployments, their Services and a route."""
    real_cache, home = cache_home(), tmp_path_factory.mktemp("gateway")
    parts.find(print)
    cache, package = home / "cache" / "kvcluster", home / "web"
    cache.mkdir(parents=True)
    for part in real_cache.iterdir():
        if part.name != "images":
            (cache / part.name).symlink_to(part)
    package.mkdir()
    (package / "__init__.py").write_text(WEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        images.build("web:1", packages=[package], programs={"web": "web:main"})
        running = asyncio.run(cluster.up(NAME, {"eu-west": ("a", "b")}))
        try:
            fill(running)
            yield running
        finally:
            asyncio.run(cluster.down(NAME))


def fill(state: ClusterState) -> None:
    items = [made(app) for app in ("old", "new") for made in (deployment, service)]
    kubectl(state, "apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    for app in ("old", "new"):
        kubectl(state, "rollout", "status", f"deployment/{app}", "--timeout=30s")
    asyncio.run(first_route(state))


async def first_route(state: ClusterState) -> None:
    async with connected(state) as api:
        await shift(api, old=100, new=0)


def kubectl(state: ClusterState, *arguments: str, text: str | None = None) -> str:
    command: list[str | Path] = [state.programs / "kubectl", f"--kubeconfig={state.kubeconfig}", *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def deployment(app: str) -> Object:
    address = {"name": "BIND", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    container: Object = {"name": "web", "image": "web:1", "command": ["web"], "readinessProbe": probe}
    container["env"] = [address, {"name": "APP", "value": app}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": app}},
            "template": {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]}},
        },
    }


def service(app: str) -> Object:
    spec = {"selector": {"app": app}, "ports": [{"port": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": app}, "spec": spec}


async def shift(api: Api, **weights: int) -> float:
    """Seconds from the write of the route to its confirmation."""
    refs = [{"name": name, "port": 8080, "weight": weight} for name, weight in weights.items()]
    spec = {"parentRefs": [{"name": "eu-west"}], "hostnames": [HOST], "rules": [{"backendRefs": refs}]}
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "web"},
        "spec": spec,
    }
    begun = time.monotonic()
    written = await api.request(
        "PATCH", f"{ROUTES}/web", query={"fieldManager": "test"}, body=route, content_type=APPLY
    )
    async with asyncio.timeout(DEADLINE_S):
        while confirmed(await api.request("GET", f"{ROUTES}/web")) != written["metadata"]["generation"]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return time.monotonic() - begun


def confirmed(route: Object) -> int:
    """The generation that is accepted and whose backends are all there; 0: none."""
    conditions = [c for parent in route.get("status", {}).get("parents", []) for c in parent["conditions"]]
    true = {c["observedGeneration"] for c in conditions if c["status"] == "True"}
    return true.pop() if len(conditions) == 2 and len(true) == 1 else 0


@asynccontextmanager
async def connected(state: ClusterState) -> AsyncIterator[Api]:
    api = await Api.connect(state.kubeconfig)
    try:
        yield api
    finally:
        await api.close()


@asynccontextmanager
async def load(state: ClusterState) -> AsyncIterator[Counter[str]]:
    """Six clients, about 300 requests a second at most, until the block ends: answers by text or failure."""
    seen, end = Counter[str](), asyncio.Event()
    url, headers = f"http://{state.gateway_address(0)}:{GATEWAY_PORT}", {"Host": HOST}

    async def client(session: aiohttp.ClientSession) -> None:
        until_s = time.monotonic() + DEADLINE_S
        while not end.is_set() and time.monotonic() < until_s:
            async with session.get(url, headers=headers) as answer:
                seen[await answer.text() if answer.status == 200 else f"failed: {answer.status}"] += 1
            await asyncio.sleep(0.02)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        for _ in range(6):
            tasks.create_task(client(session))
        try:
            yield seen
        finally:
            end.set()


def test_gateway_and_route_are_as_kubectl_shows_them(state: ClusterState) -> None:
    kubectl(state, "wait", "--for=condition=Programmed", "--timeout=30s", "gateway/eu-west")
    assert kubectl(
        state, "get", "gateway/eu-west", "-o=jsonpath={.status.addresses[0].value}"
    ) == state.gateway_address(0)


async def test_weights_shift_under_load_and_each_confirmation_is_true(state: ClusterState) -> None:
    took = []
    async with connected(state) as api, load(state) as seen:
        for share in [5, 25, 50, 100, 0] * 4:
            took.append(await shift(api, old=100 - share, new=share))
            assert (await observe.weights(state.envoy_admin_url))[CONFIG] == {OLD: 100 - share, NEW: share}
    print(f"write to confirmation: median {statistics.median(took) * 1000:.0f} ms, max {max(took) * 1000:.0f} ms")
    assert seen.keys() == {"old", "new"}


async def test_a_deployment_restarts_under_load_without_a_failed_request(state: ClusterState) -> None:
    async with connected(state) as api:
        await shift(api, old=100, new=0)
    async with load(state) as seen:
        await asyncio.to_thread(kubectl, state, "rollout", "restart", "deployment/old")
        await asyncio.to_thread(kubectl, state, "rollout", "status", "deployment/old", "--timeout=30s")
    assert seen.keys() == {"old"}

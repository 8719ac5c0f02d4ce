"""Waits until a part answers, and says why it does not: the part that died, and the end of its log."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable

import aiohttp
import yaml

from kvdev.errors import BrokenClusterError
from kvdev.plane import process
from kvdev.plane.commands import SCHEDULER_PORT
from kvdev.state import ClusterState

DEADLINE_S = 120.0  # a bound for a machine under load; on an idle one all is ready within seconds
POLL_S = 0.1
TAIL_LINES, TAIL_BYTES = 6, 8192


async def until(state: ClusterState, what: str, reached: Callable[[], Awaitable[bool]]) -> None:
    """Polls `reached`; BrokenClusterError when a part died meanwhile or the deadline passed."""
    deadline = time.monotonic() + DEADLINE_S
    while not await reached():
        for part in state.processes:
            if not process.is_alive(part):
                raise BrokenClusterError(f"{part.name} died while {what} was awaited; {_tail(state, part.name)}")
        if time.monotonic() > deadline:
            raise BrokenClusterError(f"{what}: not reached within {DEADLINE_S:.0f} s; the logs are in {state.logs}")
        await asyncio.sleep(POLL_S)


async def part(state: ClusterState, name: str) -> None:
    """Waits until that part answers on its readiness path; parts without one are ready once they run."""
    urls = {
        "kube-apiserver": f"{state.api_url}/readyz",
        "kube-scheduler": f"https://{state.plane_address}:{SCHEDULER_PORT}/readyz",
        "envoy": f"{state.envoy_admin_url}/ready",
        "prometheus": f"{state.prometheus_url}/-/ready",
    }
    if name not in urls:
        return
    tls = ssl.create_default_context(cafile=state.pki / "ca.crt")
    headers = {"Authorization": f"Bearer {_token(state)}"} if name == "kube-apiserver" else {}
    timeout = aiohttp.ClientTimeout(total=5)
    connector = aiohttp.TCPConnector(ssl=tls)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:

        async def answers() -> bool:
            try:
                async with session.get(urls[name]) as response:
                    return response.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False

        await until(state, f"the readiness of {name}", answers)


def _token(state: ClusterState) -> str:
    users = yaml.safe_load(state.kubeconfig.read_text())["users"]
    return str(users[0]["user"]["token"])


def _tail(state: ClusterState, part: str) -> str:
    path = state.logs / f"{part}.log"
    lines = path.read_bytes()[-TAIL_BYTES:].decode(errors="replace").splitlines() if path.exists() else []
    return f"the end of {path}:\n" + "\n".join(lines[-TAIL_LINES:])

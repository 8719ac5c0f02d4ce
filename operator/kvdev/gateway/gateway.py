"""The service proxy and gateway at work: watches Services, Pods, HTTPRoutes and Gateways, and keeps Envoy true to them.

Nothing is written before the first whole listing of all four kinds, so that a restart of this process changes nothing.
"""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from kvdev.client import Api, Informer
from kvdev.gateway.plan import allot, ours, plan
from kvdev.gateway.report import Reporter
from kvdev.gateway.routes import GATEWAY_GROUP
from kvdev.gateway.services import Key, Objects
from kvdev.gateway.status import reports
from kvdev.gateway.xds import POLL_S, Xds
from kvdev.state import ClusterState

PATHS = {
    "services": "/api/v1/services",
    "pods": "/api/v1/pods",
    "routes": f"/apis/{GATEWAY_GROUP}/v1/httproutes",
    "gateways": f"/apis/{GATEWAY_GROUP}/v1/gateways",
}
COALESCE_S = 0.005  # changes that come together make one change of Envoy
SELDOM_S = 1.0  # between looks whether what is no longer wanted may go, after the first quick ones


class Gateway:
    """Serves one cluster until cancelled. Where Gateway API's CRDs are missing it waits for them."""

    def __init__(self, state: ClusterState, api: Api) -> None:
        self._state = state
        self._changed = asyncio.Event()
        self._informers = {
            kind: Informer(api, path, on_change=lambda *_: self._changed.set()) for kind, path in PATHS.items()
        }
        self._xds = Xds(state.envoy, state.envoy_admin_url)
        self._reporter = Reporter(api, state.envoy_admin_url)
        self._first_port = _first_port()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for informer in self._informers.values():
                tasks.create_task(informer.run())
            tasks.create_task(self._serve())
            tasks.create_task(self._reporter.run())

    async def _serve(self) -> None:
        for informer in self._informers.values():
            await informer.synced()
        await self._reporter.learn()
        self._changed.set()
        pause_s = None
        while True:
            if await self._is_changed(pause_s):
                await asyncio.sleep(COALESCE_S)
                self._changed.clear()
                await self._bring_about()
                pause_s = POLL_S
            swept = await self._xds.sweep()
            pause_s = None if swept or pause_s is None else min(2 * pause_s, SELDOM_S)

    async def _is_changed(self, within_s: float | None) -> bool:
        try:
            await asyncio.wait_for(self._changed.wait(), within_s)
        except TimeoutError:
            return False
        return True

    async def _bring_about(self) -> None:
        seen = {kind: dict(informer.items) for kind, informer in self._informers.items()}
        gateways = ours(seen.pop("gateways"))
        addresses = self._addresses(gateways)
        made = plan(self._state.envoy, **seen, gateways=gateways, addresses=addresses, first_port=self._first_port)
        await self._xds.apply(made.resources)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._reporter.take(reports(made, seen["routes"], now, self._first_port), self._xds.versions)

    def _addresses(self, gateways: Objects) -> dict[Key, str]:
        """Addresses must not move: which one each Gateway has is kept in a file."""
        path = self._state.envoy / "gateways.json"
        known = _indexes(path)
        indexes = allot(known, gateways, tuple(self._state.regions))
        if indexes != known:
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps({"/".join(key): index for key, index in indexes.items()}, indent=1))
            partial.rename(path)
        return {key: self._state.gateway_address(index) for key, index in indexes.items()}


def _indexes(path: Path) -> dict[Key, int]:
    if not path.exists():
        return {}
    return {(key.split("/")[0], key.split("/")[1]): index for key, index in json.loads(path.read_text()).items()}


def _first_port() -> int:
    """The lowest port that this user may bind."""
    return 1 if os.geteuid() == 0 else int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())

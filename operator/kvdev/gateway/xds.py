"""Brings Envoy from what it is to what it is to be, through its files: each written in one step, only when it differs.

Make before break: endpoints and clusters first, routes and listeners when Envoy has the clusters, and what is no
longer wanted is swept when no route or listener in effect names it. Weights and endpoints alone wait for nothing.
"""

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from kvdev.gateway.envoy import Resource, document, file_of
from kvdev.gateway.observe import SilentEnvoyError, accepted
from kvdev.gateway.plan import Resources

log = logging.getLogger(__name__)

POLL_S = 0.01
PATIENCE_S = 2.0  # for Envoy to take new clusters; then go on, lest one that it refuses holds up all other changes


class Xds:
    """Envoy's files in `directory`. `versions`: route configuration, "cds" or "lds" -> the version asked for."""

    def __init__(self, directory: Path, admin_url: str) -> None:
        self.versions: dict[str, str] = {}
        self._directory = directory
        self._admin_url = admin_url
        self._written: dict[Path, tuple[list[Resource], str]] = {}  # file -> resources, version
        self._clusters = _clusters_in(directory / file_of("clusters", ""))
        self._wanted = Resources({}, {}, {}, {})

    async def apply(self, wanted: Resources) -> None:
        """Write what differs. Whether Envoy has taken it, `versions` and `observe.accepted` tell; call `sweep` next."""
        for name, resource in wanted.endpoints.items():
            self._write(file_of("endpoints", name), [resource])
        added = wanted.clusters.keys() - self._clusters.keys()
        self._clusters |= wanted.clusters
        self.versions["cds"] = self._write_all("clusters", self._clusters)
        if added:
            await self._clusters_serve()
        for name, resource in wanted.routes.items():
            self.versions[name] = self._write(file_of("routes", name), [resource])
        self.versions["lds"] = self._write_all("listeners", wanted.listeners)
        for name in self.versions.keys() - wanted.routes.keys() - {"cds", "lds"}:
            del self.versions[name]
        self._wanted = wanted

    async def sweep(self) -> bool:
        """Remove clusters and files that nothing in effect names. False if Envoy has to be awaited: call again."""
        if self._clusters.keys() != self._wanted.clusters.keys():
            if not await self._is_taken():
                return False
            self._clusters = dict(self._wanted.clusters)
            self.versions["cds"] = self._write_all("clusters", self._clusters)
        kept = {self._directory / file_of("endpoints", name) for name in self._wanted.endpoints}
        kept |= {self._directory / file_of("routes", name) for name in self._wanted.routes}
        for path in {*self._directory.glob("eds/*.json"), *self._directory.glob("rds/*.json")} - kept:
            path.unlink(missing_ok=True)
            self._written.pop(path, None)
        return True

    async def _is_taken(self) -> bool:
        try:
            files = (await accepted(self._admin_url)).files
        except SilentEnvoyError:
            return True  # it is not running; it will read the files as they are when it starts
        return all(name in files and files[name].version == version for name, version in self.versions.items())

    async def _clusters_serve(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await self._is_warm():  # noqa: ASYNC110 (Envoy tells nobody: it must be asked)
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            log.warning("envoy does not take new clusters", extra={"waited_s": PATIENCE_S})

    async def _is_warm(self) -> bool:
        try:
            seen = await accepted(self._admin_url)
        except SilentEnvoyError:
            return True
        return seen.warming == 0 and seen.files["cds"].version == self.versions["cds"]

    def _write_all(self, kind: str, resources: Mapping[str, Resource]) -> str:
        return self._write(file_of(kind, ""), [resource for _, resource in sorted(resources.items())])

    def _write(self, file: str, resources: Iterable[Resource]) -> str:
        """The version in the file; by renaming, since Envoy does not see a write in place."""
        path, new = self._directory / file, list(resources)
        old, version = self._written.get(path, ([], ""))
        if version and old == new:
            return version
        version, text = document(new)
        if not path.exists() or path.read_text() != text:
            partial = self._directory / "partial.json"  # outside the folders that Envoy watches
            partial.write_text(text)
            partial.rename(path)
        self._written[path] = new, version
        return version


def _clusters_in(path: Path) -> dict[str, Resource]:
    """What an earlier run left: Envoy goes on with it, so its removal has to wait its turn too."""
    listed = json.loads(path.read_text())["resources"] if path.exists() else []
    return {resource["name"]: resource for resource in listed}

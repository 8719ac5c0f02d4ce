"""Writes statuses of Gateways and HTTPRoutes, each once and only when Envoy's admin port shows that it is true.

`Accepted` for a route's generation means that its weights are in effect: rollouts go by it.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress

from kvdev.client import MERGE_PATCH, Api, ApiError, UnreachableError
from kvdev.gateway.observe import SilentEnvoyError, Subscription, accepted
from kvdev.gateway.services import Object
from kvdev.gateway.status import Report

log = logging.getLogger(__name__)

LOOK_S = 0.02  # between looks at Envoy while a status waits for it
EAGER_S = 2.0  # for so long; after that it looks every
SELDOM_S = 1.0


class Reporter:
    """Told by `take` what is to be said. Looks at Envoy only while something is unsaid."""

    def __init__(self, api: Api, admin_url: str) -> None:
        self._api, self._admin_url = api, admin_url
        self._news = asyncio.Event()
        self._open: dict[str, Report] = {}
        self._versions: Mapping[str, str] = {}
        self._written: dict[str, int] = {}  # path -> resourceVersion of our last write
        self._refusals: dict[str, int] = {}  # file -> refusals that were there when its last fate was known
        self._refused: dict[str, str] = {}  # file -> version that Envoy refused

    def take(self, reports: Iterable[Report], versions: Mapping[str, str]) -> None:
        """The reports of the newest plan, and the versions of the files that it was written to."""
        every = {report.path: report for report in reports}
        self._written = {path: version for path, version in self._written.items() if path in every}
        self._open = {path: report for path, report in every.items() if not self._is_said(report, versions)}
        self._versions = dict(versions)
        self._news.set()

    async def learn(self) -> None:
        """Before the first change: what Envoy refused earlier is not held against the files to come."""
        with suppress(SilentEnvoyError):
            files = (await accepted(self._admin_url)).files
            self._refusals = {name: file.refusals for name, file in files.items()}

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s, eager_until = None, 0.0
        while True:
            if await self._waited(pause_s):
                eager_until = loop.time() + EAGER_S
            try:
                await self._say_what_is_true()
                pause_s = LOOK_S if loop.time() < eager_until else SELDOM_S
            except (ApiError, UnreachableError) as error:
                log.warning("status not written", extra={"error": str(error)})
                pause_s = SELDOM_S
            if not self._open:
                pause_s = None

    async def _waited(self, pause_s: float | None) -> bool:
        """True if there is news, False when `pause_s` has passed without."""
        try:
            await asyncio.wait_for(self._news.wait(), pause_s)
        except TimeoutError:
            return False
        self._news.clear()
        return True

    async def _say_what_is_true(self) -> None:
        if not self._open:
            return
        try:
            seen = await accepted(self._admin_url)
        except SilentEnvoyError:
            return  # not running yet, or again; statuses wait for it
        versions, due = self._versions, list(self._open.values())  # now: they may have changed during the look
        self._note_refusals(seen.files, versions)
        for report in due:
            if self._is_refused(report, versions):
                await self._say(report, report.refused)
            elif all(seen.files.get(name, Subscription()).version == versions[name] for name in report.needs):
                await self._say(report, report.taken)

    def _note_refusals(self, files: Mapping[str, Subscription], versions: Mapping[str, str]) -> None:
        for name, file in files.items():
            refused = file.version != versions.get(name) and file.refusals > self._refusals.get(name, 0)
            if refused and name in versions:
                self._refused[name] = versions[name]
                log.error("envoy refused a configuration and keeps the last good one", extra={"file": name})
            if refused or file.version == versions.get(name) or file.refusals < self._refusals.get(name, 0):
                self._refusals[name] = file.refusals

    def _is_refused(self, report: Report, versions: Mapping[str, str]) -> bool:
        return any(self._refused.get(name) == versions[name] for name in report.needs)

    def _is_said(self, report: Report, versions: Mapping[str, str]) -> bool:
        if report.version < self._written.get(report.path, 0):
            return True  # the object as it was before our last write; the watch will bring the newer one
        return report.is_told(report.refused if self._is_refused(report, versions) else report.taken)

    async def _say(self, report: Report, status: Object) -> None:
        if not report.is_told(status):
            written = await self._write(report.path, status)
            self._written[report.path] = written
        if self._open.get(report.path) is report:
            del self._open[report.path]

    async def _write(self, path: str, status: Object) -> int:
        """The object's new resourceVersion; 0 when it is gone."""
        query, body = {"fieldManager": "kvdev-gateway"}, {"status": status}
        try:
            stored = await self._api.request(
                "PATCH", f"{path}/status", query=query, body=body, content_type=MERGE_PATCH
            )
        except ApiError as error:
            if error.status != 404:
                raise
            return 0
        return int(stored["metadata"]["resourceVersion"])

"""Measures a rollout from outside: Envoy's weights and counters, Prometheus, pods.

The canary is whatever revision was not there in any way when the watch began. Envoy and Prometheus are asked ten times
a second: a time is right to about 0.1 s.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp

from kvctl.demo.report import Seen
from kvctl.errors import DemoError
from kvctl.load.report import Tally
from kvdev.client import Api, UnreachableError
from kvdev.gateway import observe
from kvdev.state import ClusterState
from kvoperator.api.spec import GROUP, PLURAL, VERSION
from kvoperator.api.units import seconds
from kvoperator.core.naming import CLUSTER_LABEL, COMPONENT_LABEL, REVISION_LABEL, metric_label, regional

FAST_S, SLOW_S = 0.1, 0.5
_MISSES = 20  # polls in a row without an answer: by then something is broken
_REVISION = metric_label(REVISION_LABEL)
_HISTOGRAM = "kv_http_request_duration_seconds"

Weights = dict[str, dict[str, int]]  # region -> revision -> weight in Envoy


class Watch:
    """One rollout: keep it in `async with` while it lasts. `seen` grows; the other public fields are the latest."""

    def __init__(
        self, state: ClusterState, api: Api, cluster: dict[str, Any], tallies: dict[str, Tally], seen: Seen
    ) -> None:
        self.seen, self.cluster, self.p95_s = seen, cluster, dict[str, float]()
        self._state, self._api, self._tallies = state, api, tallies
        self._name = cluster["metadata"]["name"]
        self._namespace = cluster["metadata"]["namespace"]
        self._regions = [region["name"] for region in cluster["spec"]["regions"]]
        self._steps = [step["traffic"] for step in cluster["spec"]["rollout"]["steps"]]
        slo = cluster["spec"]["slo"]["latency"]
        threshold_s = min(seconds(threshold) for threshold in slo.values())
        ours = f'{metric_label(CLUSTER_LABEL)}="{self._name}",namespace="{self._namespace}",route="record"'
        self._slow = (
            f"sum by ({_REVISION}) ({_HISTOGRAM}_count{{{ours}}})"
            f' - sum by ({_REVISION}) ({_HISTOGRAM}_bucket{{{ours},le="{threshold_s:g}"}})'
        )
        rates = f"sum by (le, {_REVISION}) (rate({_HISTOGRAM}_bucket{{{ours}}}[5s]))"
        self._p95 = f"histogram_quantile(0.95, {rates})"
        self._before = _Sent(tallies)
        self._old_verdicts = cluster.get("status", {}).get("rollout", {}).get("verdicts", [])
        self._answered: dict[
            str, int
        ] = {}  # Envoy cluster -> requests; the largest seen, as counters go with the cluster
        self._at_unrouted = (0, 0)  # requests of the canary and of all: before it got a share,
        self._at_share: tuple[int, int] | None = None  # and when it got its first
        self.old: set[str] = set()  # revisions that were there before, the one that serves and those on their way out
        self.shares: dict[str, int] = {}  # region -> percent of the canary

    async def __aenter__(self) -> "Watch":
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2))
        routed = {revision for region in (await self._weights()).values() for revision in region}
        self.old = routed | set(map(_revision, await self._pods())) | set(await self._query(self._slow))
        self.shares = dict.fromkeys(self._regions, 0)
        self._began = time.monotonic()
        loops = ((self._look_at_envoy, FAST_S), (self._look_at_samples, FAST_S), (self._look_at_latency, 1.0))
        self._tasks = [asyncio.create_task(_repeat(look, pause)) for look, pause in loops]
        self._tasks.append(asyncio.create_task(_repeat(self._look_at_cluster, SLOW_S)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._before.into(self.seen)
        self.seen.seconds = self.now()
        await self._http.close()

    def now(self) -> float:
        """Seconds since the watch began."""
        return time.monotonic() - self._began

    def check(self) -> None:
        """Raises DemoError when one of the instruments has gone blind."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise DemoError(f"the measurement broke: {error}") from error

    async def serving(self) -> set[str]:
        """UIDs of the ready pods of the revisions that have a weight now."""
        weights = await self._weights()
        revisions = {revision for region in weights.values() for revision, weight in region.items() if weight}
        return {pod["metadata"]["uid"] for pod in await self._pods() if _is_ready(pod) and _revision(pod) in revisions}

    async def _look_at_envoy(self) -> None:
        weights = await self._weights()
        at = self.now()
        for region in self._regions:
            share = self._share(weights.get(region, {}))
            if share != self.shares[region]:
                self.shares[region] = share
                self.seen.weights.append((at, region, share))
        routed = any(self.shares.values())
        if routed or self._at_share is None:
            await self._count(routed)

    def _share(self, revisions: dict[str, int]) -> int:
        total = sum(revisions.values())
        canary = sum(weight for revision, weight in revisions.items() if revision not in self.old)
        return round(100 * canary / total) if total else 0

    async def _count(self, routed: bool) -> None:
        """Requests that Envoy's upstreams answered, of the canary and of all, since the canary got its share."""
        for name, classes in (await observe.requests(self._state.envoy_admin_url)).items():
            self._answered[name] = max(self._answered.get(name, 0), sum(classes.values()))
        found = [(place[1], count) for name, count in self._answered.items() if (place := self._place(name))]
        canary = sum(count for revision, count in found if revision not in self.old)
        total = sum(count for _, count in found)
        if not routed:
            self._at_unrouted = (canary, total)
            return
        self._at_share = self._at_share or self._at_unrouted
        self.seen.canary_requests = canary - self._at_share[0]
        self.seen.routed_requests = total - self._at_share[1]

    async def _look_at_samples(self) -> None:
        if self.seen.first_bad_s is not None:
            return
        for revision, count in (await self._query(self._slow)).items():
            if revision not in self.old and count > 0:
                self.seen.first_bad_s = self.now()

    async def _look_at_latency(self) -> None:
        self.p95_s = await self._query(self._p95)

    async def _look_at_cluster(self) -> None:
        self.cluster = await self._api.request("GET", cluster_path(self._namespace, self._name))
        rollout = self.cluster.get("status", {}).get("rollout", {})
        self.seen.phase = rollout.get("phase", "")
        for verdict in rollout.get("verdicts", []):
            if verdict not in (*self._old_verdicts, *self.seen.verdicts):
                self.seen.verdicts.append(verdict)
        if all(share == self._steps[-1] for share in self.shares.values()):
            pods = await self._pods()
            self.seen.judged_pods = {pod["metadata"]["uid"] for pod in pods if _revision(pod) not in self.old}

    async def _weights(self) -> Weights:
        found: Weights = {}
        for clusters in (await observe.weights(self._state.envoy_admin_url)).values():
            for name, weight in clusters.items():
                if place := self._place(name):
                    found.setdefault(place[0], {})[place[1]] = weight
        return found

    def _place(self, envoy_cluster: str) -> tuple[str, str] | None:
        """`<namespace>/<cluster>-<region>-<revision>/<port>` -> (region, revision); None for what is not ours."""
        namespace, _, rest = envoy_cluster.partition("/")
        head, _, revision = rest.partition("/")[0].rpartition("-")
        for region in self._regions:
            if namespace == self._namespace and head == regional(self._name, region) and revision != "cache":
                return region, revision
        return None

    async def _pods(self) -> list[dict[str, Any]]:
        selector = f"{CLUSTER_LABEL}={self._name},{COMPONENT_LABEL}=service"
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        found: list[dict[str, Any]] = (await self._api.request("GET", path, query={"labelSelector": selector}))["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    async def _query(self, promql: str) -> dict[str, float]:
        """Revision -> value."""
        url = f"{self._state.prometheus_url}/api/v1/query"
        async with self._http.get(url, params={"query": promql}) as response:
            response.raise_for_status()
            found = (await response.json())["data"]["result"]
        return {one["metric"].get(_REVISION, ""): float(one["value"][1]) for one in found}


class _Sent:
    """What the load had counted when the watch began."""

    def __init__(self, tallies: dict[str, Tally]) -> None:
        self._tallies = tallies
        self._before = self._now()

    def _now(self) -> tuple[int, int, dict[str, int]]:
        errors: dict[str, int] = {}
        for tally in self._tallies.values():
            for kind, count in tally.errors.items():
                errors[kind] = errors.get(kind, 0) + count
        return (
            sum(one.done for one in self._tallies.values()),
            sum(one.dropped for one in self._tallies.values()),
            errors,
        )

    def into(self, seen: Seen) -> None:
        (done, dropped, errors), (done_before, dropped_before, errors_before) = self._now(), self._before
        seen.requests, seen.dropped_requests = done - done_before, dropped - dropped_before
        new = {kind: count - errors_before.get(kind, 0) for kind, count in errors.items()}
        seen.errors = {kind: count for kind, count in new.items() if count}
        seen.failed_requests = sum(seen.errors.values())


def cluster_path(namespace: str, name: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}"


async def _repeat(look: Callable[[], Coroutine[Any, Any, None]], pause_s: float) -> None:
    """Look again and again; a look that gets no answer is made up for by the next, but not for ever."""
    missed = 0
    while True:
        try:
            await look()
        except (observe.SilentEnvoyError, UnreachableError, aiohttp.ClientError, TimeoutError):
            missed += 1
            if missed > _MISSES:
                raise
        else:
            missed = 0
        await asyncio.sleep(pause_s)


def _revision(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["labels"].get(REVISION_LABEL, ""))


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

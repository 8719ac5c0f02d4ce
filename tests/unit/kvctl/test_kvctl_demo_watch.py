"""The demo's measurements, with Envoy, Prometheus and the API server played by a stage on which a rollout is acted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kvctl.demo import observe as demo_observe
from kvctl.demo.observe import Watch
from kvctl.demo.report import Seen
from kvctl.errors import DemoError
from kvctl.load.report import Tally
from kvdev.client import Api
from kvdev.gateway import observe
from kvdev.gateway.observe import SilentEnvoyError
from kvdev.state import ClusterState

Object = dict[str, Any]

CLUSTER: Object = {
    "metadata": {"name": "demo", "namespace": "default"},
    "spec": {
        "regions": [{"name": "eu"}, {"name": "eu-west"}],
        "slo": {"latency": {"95": "100ms", "99": "250ms"}},
        "rollout": {"steps": [{"traffic": 5}, {"traffic": 50}]},
    },
}


class Stage:
    """What is to be seen. `slow` and `weights` are by revision; `leftover` is the revision of an earlier release."""

    url: str

    def __init__(self) -> None:
        self.weights = {"eu": {"old": 100}, "eu-west": {"old": 100}}
        self.answered = {"old": 1000}
        self.slow = {"old": 3, "leftover": 7}
        self.pods = [("p-old", "old", True), ("p-leftover", "leftover", True)]
        self.status: Object = {"rollout": {"phase": "Done", "verdicts": [{"at": 0}]}}
        self.queries: list[str] = []
        self.silent = False

    async def envoy_weights(self, _url: str) -> dict[str, dict[str, int]]:
        if self.silent:
            raise SilentEnvoyError("no answer from Envoy")
        other = {"default/other-eu-old/8080": 1}
        return {
            f"default/{region}/8080": {f"default/demo-{region}-{name}/8080": one for name, one in weights.items()}
            | other
            for region, weights in self.weights.items()
        }

    async def envoy_requests(self, _url: str) -> dict[str, dict[str, int]]:
        cache = {"default/demo-eu-cache/6379": {"2xx": 10**6}}
        return {
            f"default/demo-eu-{name}/8080": {"2xx": count, "5xx": 0} for name, count in self.answered.items()
        } | cache

    async def prometheus(self, request: web.Request) -> web.Response:
        self.queries.append(request.query["query"])
        slow = "_count" in request.query["query"]
        found = self.slow if slow else {"old": 0.01}
        result = [{"metric": {"kvcluster_dev_revision": name}, "value": [0, str(one)]} for name, one in found.items()]
        return web.json_response({"data": {"result": result}})

    async def request(self, _method: str, path: str, query: dict[str, str] | None = None) -> Object:
        if path.endswith("/pods"):
            assert query == {"labelSelector": "kvcluster.dev/cluster=demo,app.kubernetes.io/component=service"}
            return {"items": [pod(*one) for one in self.pods]}
        return {**CLUSTER, "status": self.status}


def pod(uid: str, revision: str, ready: bool) -> Object:
    conditions = [{"type": "Ready", "status": str(ready)}]
    metadata = {"uid": uid, "labels": {"kvcluster.dev/revision": revision}}
    return {"metadata": metadata, "status": {"conditions": conditions}}


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    acted = Stage()
    monkeypatch.setattr(observe, "weights", acted.envoy_weights)
    monkeypatch.setattr(observe, "requests", acted.envoy_requests)
    monkeypatch.setattr(demo_observe, "FAST_S", 0.001)
    monkeypatch.setattr(demo_observe, "SLOW_S", 0.001)
    application = web.Application()
    application.router.add_get("/api/v1/query", acted.prometheus)
    async with TestServer(application) as server:
        acted.url = str(server.make_url("")).rstrip("/")
        yield acted


def watch(stage: Stage, tally: Tally | None = None) -> Watch:
    state = cast("ClusterState", SimpleNamespace(envoy_admin_url="", prometheus_url=stage.url))
    cluster = {**CLUSTER, "status": {"rollout": {"verdicts": [{"at": 0}]}}}
    return Watch(state, cast("Api", stage), cluster, {"eu": tally or Tally()}, Seen("kv:2"))


async def until(holds: Callable[[], object]) -> None:
    """Returns when it holds; fails when it never does."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the loops under test have nothing to await
            await asyncio.sleep(0.001)


async def test_every_change_of_the_canarys_share_is_recorded_once_by_region(stage: Stage) -> None:
    async with watch(stage) as watching:
        stage.weights["eu-west"] = {"old": 95, "new": 5}
        await until(lambda: watching.shares["eu-west"] == 5)
        stage.weights = {"eu": {"old": 0, "new": 100}, "eu-west": {"old": 1, "new": 1}}
        await until(lambda: watching.shares == {"eu": 100, "eu-west": 50})
    assert [(region, share) for _, region, share in watching.seen.weights] == [
        ("eu-west", 5),
        ("eu", 100),
        ("eu-west", 50),
    ]


async def test_a_release_on_its_way_out_is_not_taken_for_the_canary(stage: Stage) -> None:
    async with watch(stage) as watching:
        seen = len(stage.queries)
        await until(lambda: len(stage.queries) > seen + 5)
        assert watching.seen.first_bad_s is None
        stage.slow["new"] = 0
        seen = len(stage.queries)
        await until(lambda: len(stage.queries) > seen + 5)
        assert watching.seen.first_bad_s is None
        stage.slow["new"] = 1
        await until(lambda: watching.seen.first_bad_s is not None)


async def test_slow_means_over_the_strictest_threshold_of_the_slo(stage: Stage) -> None:
    async with watch(stage):
        pass
    assert 'route="record",le="0.1"}' in stage.queries[0]


async def test_requests_of_the_canary_count_from_when_it_got_its_share(stage: Stage) -> None:
    async with watch(stage) as watching:
        await until(lambda: watching.shares == {"eu": 0, "eu-west": 0} and watching._answered)
        stage.answered["old"] = 1100
        await until(lambda: 1100 in watching._answered.values())
        stage.weights["eu"] = {"old": 95, "new": 5}
        await until(lambda: watching.shares["eu"] == 5)
        stage.answered |= {"old": 1195, "new": 5}
        await until(lambda: watching.seen.canary_requests == 5)
        assert watching.seen.routed_requests == 100


async def test_judged_pods_are_the_canarys_in_the_last_step(stage: Stage) -> None:
    stage.pods.append(("p-new", "new", True))
    async with watch(stage) as watching:
        stage.pods = [("p-old", "old", True), ("p-new", "newer", True)]
        stage.weights = {key: {"old": 50, "newer": 50} for key in ("eu", "eu-west")}
        await until(lambda: watching.seen.judged_pods)
        assert watching.seen.judged_pods == {"p-new"}


async def test_serving_pods_are_ready_and_routed_to(stage: Stage) -> None:
    stage.pods += [("p-new", "new", True), ("p-late", "new", False)]
    async with watch(stage) as watching:
        stage.weights = {key: {"old": 0, "new": 100} for key in ("eu", "eu-west")}
        assert await watching.serving() == {"p-new"}


async def test_verdicts_of_the_rollout_before_are_left_out(stage: Stage) -> None:
    async with watch(stage) as watching:
        stage.status = {"rollout": {"phase": "Stepping", "verdicts": [{"at": 0}, {"at": 1}]}}
        await until(lambda: watching.seen.phase == "Stepping")
    assert watching.seen.verdicts == [{"at": 1}]


async def test_only_what_the_load_met_meanwhile_counts(stage: Stage) -> None:
    tally = Tally(dropped=4)
    tally.reads.add(0.1)
    tally.errors["http 503"] = 1
    async with watch(stage, tally) as watching:
        tally.reads.add(0.1)
        tally.writes.add(0.1)
        tally.dropped += 1
        tally.errors["lost"] = 2
    seen = watching.seen
    assert (seen.requests, seen.dropped_requests, seen.failed_requests, seen.errors) == (2, 1, 2, {"lost": 2})


async def test_an_instrument_that_stays_blind_ends_the_demo(stage: Stage) -> None:
    async with watch(stage) as watching:
        watching.check()
        stage.silent = True
        await until(lambda: any(task.done() for task in watching._tasks))
        with pytest.raises(DemoError, match="the measurement broke: no answer from Envoy"):
            watching.check()

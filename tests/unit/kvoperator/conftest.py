"""A world to reconcile in, without I/O. Tests get one by the fixture `world`.

An API server in a dictionary, controllers and gateways that do as they are told, a Prometheus that counts, and a clock
that goes when it is told to.
"""

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from kvoperator.core.judge.queries import REGION
from kvoperator.core.naming import REGION_LABEL, REVISION_LABEL
from kvoperator.core.rollout.model import Event
from kvoperator.errors import ApiError
from kvoperator.ports import KINDS, KVCLUSTER, Kind
from kvoperator.reconcile.cluster import Reconciler
from kvoperator.reconcile.mirror import Mirror, Ref, ref
from kvoperator.reconcile.queue import Again

T = TypeVar("T")

Object = dict[str, Any]
KEY = ("web", "shop")
SHOP: Ref = (KVCLUSTER.name, *KEY)


class KilledError(BaseException):
    """The operator's process is gone, in the middle of a call."""


class World:
    """Keeps the promises of `KubeApi`, `Metrics` and `Clock`. `kill(number, when)`: dies around that side effect."""

    Killed = KilledError

    def __init__(self, spec: Object) -> None:
        self.time = datetime(2030, 1, 1, tzinfo=UTC)
        self.objects: dict[Ref, Object] = {}
        self.writes: list[str] = []
        self.queries: list[str] = []
        self.events: list[str] = []
        self.routed: list[tuple[datetime, str, dict[str, int]]] = []  # when which region's gateway took which weights
        self.bad: Callable[[str], bool] = lambda revision: False
        self.answers = True
        self.qps: dict[str, float] = {}  # region -> requests a second, of those that Prometheus has counts of
        self.p95: dict[str, float] = {}  # region -> seconds
        self.refuse: dict[str, ApiError] = {}  # kind -> what applying it is answered
        self.version, self._kill_at, self._dead = 0, (-1, ""), False
        metadata = {"name": "shop", "namespace": "web", "uid": "uid-1"}
        self._store({"apiVersion": KVCLUSTER.api_version, "kind": KVCLUSTER.name, "metadata": metadata, "spec": spec})

    # KubeApi

    async def objects_of(self, kind: Kind) -> list[Object]:
        return [one for own, one in self.objects.items() if own[0] == kind.name]

    async def apply(self, wanted: Object, *, force: bool = False) -> Object:
        def change() -> Object:
            if wanted["kind"] in self.refuse:
                raise self.refuse[wanted["kind"]]
            known = self.objects.get(ref(wanted), {"metadata": {"uid": f"uid-{self.version + 1}"}})
            return self._store(known | wanted | {"metadata": known["metadata"] | wanted["metadata"]})

        return self._done(f"apply {wanted['kind']} {wanted['metadata']['name']}", change)

    async def create(self, wanted: Object) -> None:
        if ref(wanted) not in self.objects:
            self._done(f"create {wanted['kind']} {wanted['metadata']['name']}", lambda: self._store(wanted))

    async def delete(self, observed: Object) -> None:
        self._done(f"delete {observed['kind']} {observed['metadata']['name']}", lambda: self.objects.pop(ref(observed)))

    async def write_status(self, observed: Object, status: Object) -> Object:
        known = self.objects[ref(observed)]
        assert known["metadata"]["resourceVersion"] == observed["metadata"]["resourceVersion"]
        return self._done("status", lambda: self._store(known | {"status": copy.deepcopy(status)}))

    async def post_event(self, observed: Object, event: Event, now: datetime) -> None:
        self._done("event", lambda: self.events.append(event.reason))

    # Metrics

    async def query(self, promql: str) -> dict[tuple[str, str], float] | str:
        self.queries.append(promql)
        if not self.answers:
            return "Prometheus is down"
        if f"sum by ({REGION})" in promql or f"sum by ({REGION}, le)" in promql:
            observed = self.p95 if promql.startswith("histogram_quantile") else self.qps
            return {(region, ""): value for region, value in observed.items()}
        sets = [one for one in self._of("Deployment") if REVISION_LABEL in one["metadata"]["labels"]]
        pods = {self._labels(one): one.get("status", {}).get("readyReplicas", 0) for one in sets}
        if promql.startswith("count by"):
            return pods
        is_bad = "5.." in promql or " - " in promql
        return {arm: 5000.0 if not is_bad else 1500.0 * self.bad(arm[1]) for arm in pods}

    # Clock

    def now(self) -> datetime:
        return self.time

    # What the rest of a cluster does

    def settle(self) -> None:
        """Pods come up or go; Jobs end; gateways take in the routes."""
        for one in (*self._of("Deployment"), *self._of("StatefulSet"), *self._of("Job")):
            done = {"succeeded": 1} if one["kind"] == "Job" else {"readyReplicas": one["spec"]["replicas"]}
            if one.get("status") != done:
                self._store(one | {"status": done})
        for route in self._of("HTTPRoute"):
            self._confirm(route)

    def edit(self, own: Ref, change: Callable[[Object], None]) -> None:
        known = copy.deepcopy(self.objects[own])
        change(known)
        self._store(known)

    def kill(self, number: int, when: str) -> None:
        self._kill_at, self._dead = (len(self.writes) + number, when), False

    def revive(self) -> None:
        self._kill_at, self._dead = (-1, ""), False

    def operator(self) -> "Operator":
        return Operator(self)

    def _confirm(self, route: Object) -> None:
        generation = route["metadata"]["generation"]
        condition = {"type": "Accepted", "status": "True", "observedGeneration": generation}
        parents = [{"parentRef": parent, "conditions": [condition]} for parent in route["spec"]["parentRefs"]]
        if route.get("status") != {"parents": parents}:
            self._store(route | {"status": {"parents": parents}})
            backends = route["spec"]["rules"][0]["backendRefs"]
            weights = {one["name"].rpartition("-")[2]: one["weight"] for one in backends if one["weight"]}
            self.routed.append((self.time, route["metadata"]["labels"][REGION_LABEL], weights))

    def _of(self, kind: str) -> list[Object]:
        return [one for own, one in self.objects.items() if own[0] == kind]

    def _labels(self, one: Object) -> tuple[str, str]:
        return one["metadata"]["labels"][REGION_LABEL], one["metadata"]["labels"][REVISION_LABEL]

    def _store(self, manifest: Object) -> Object:
        self.version += 1
        known = self.objects.get(ref(manifest), {})
        same = known.get("spec") == manifest.get("spec")
        generation = known.get("metadata", {}).get("generation", 0) + (not same or not known)
        moved = {"resourceVersion": str(self.version), "generation": generation}
        stored = copy.deepcopy(manifest | {"metadata": manifest["metadata"] | moved})
        self.objects[ref(manifest)] = stored
        return copy.deepcopy(stored)

    def _done(self, what: str, change: Callable[[], T]) -> T:
        number, when = self._kill_at
        is_due = number == len(self.writes)
        if self._dead or (is_due and when == "before"):
            self._dead = True
            raise KilledError(what)
        answer = change()
        self.writes.append(what)
        if is_due and when == "after":
            self._dead = True
            raise KilledError(what)
        return answer


class Operator:
    """One life of the operator: what it has in memory is gone with it."""

    def __init__(self, world: World) -> None:
        self.world, self.mirror = world, Mirror()
        kube: Any = world
        self.reconciler = Reconciler(kube, world, world, self.mirror)

    async def look(self) -> Again:
        """The watches catch up, then one pass."""
        for kind in KINDS.values():
            self.mirror.replace(kind.name, await self.world.objects_of(kind), self.world.version)
        return await self.reconciler.reconcile(KEY)

    async def go_on(self, seconds: float) -> None:
        """As the queue would: a pass after every change, and when time alone changes the answer, until none will."""
        until = self.world.time + timedelta(seconds=seconds)
        for _ in range(1000):
            before = self.world.version
            again = await self.look()
            self.world.settle()
            if self.world.version == before:
                if again.at is None or self.world.time >= until:
                    return
                self.world.time = max(again.at, self.world.time + timedelta(seconds=1))
        raise AssertionError("the operator never comes to rest")


@pytest.fixture
def spec() -> Object:
    """Two regions; a step, and a bake, of 20 s each."""
    regions = [{"name": name, "zones": ["a"], "replicas": 4} for name in ("eu-west", "us-east")]
    rollout = {"steps": [{"traffic": 25, "hold": "20s"}], "bake": "20s", "interval": "5s"}
    return {"release": {"image": "kvservice:1"}, "regions": regions, "rollout": rollout}


@pytest.fixture
async def world(spec: Object) -> World:
    """The first release serves everywhere."""
    return await _serving(spec)


@pytest.fixture
async def on_cassandra(spec: Object) -> World:
    """The first release serves everywhere, from Cassandra."""
    return await _serving(spec | {"storage": {"cassandra": {}}})


async def _serving(spec: Object) -> World:
    world = World(spec)
    await world.operator().go_on(seconds=10)
    return world

"""One pod's life, from its binding to a node to its removal: volumes, init containers, containers, status, the end.

Status goes out through one writer, so that the API server sees it in the order in which it came to be.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from kvdev import images
from kvdev.agent import environment, status, volumes
from kvdev.agent.addresses import Addresses
from kvdev.agent.container import Container, Launch, NotYetError, Rules, patiently
from kvdev.agent.events import Events
from kvdev.agent.objects import TOKEN_S, Objects
from kvdev.agent.process import POD_VARIABLE, kill_marked
from kvdev.agent.status import Facts, Record, Terminated, Waiting
from kvdev.client import Api, ApiError, UnreachableError
from kvdev.errors import KvdevError
from kvdev.state import CLUSTER_VARIABLE, ClusterState

log = logging.getLogger(__name__)

Object = dict[str, Any]

STRATEGIC_MERGE = "application/strategic-merge-patch+json"  # conditions of others stay
REFRESH_TOKENS_S = TOKEN_S / 2
RETRY_S = 1.0
DEFAULT_GRACE_S = 30
CREATING, INITIALIZING = "ContainerCreating", "PodInitializing"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Surroundings:
    """What all pods share."""

    state: ClusterState
    api: Api
    addresses: Addresses
    objects: Objects
    events: Events
    http: aiohttp.ClientSession
    cluster_config: str  # text of the admin's kubeconfig: where the API server is


class Pod:
    """`run` returns when the pod is gone (after `end`); `update` takes each newer version of the object."""

    def __init__(self, obj: Object, node_address: str, around: Surroundings) -> None:
        self.object, self._around, self._node_address = obj, around, node_address
        metadata, known = obj["metadata"], obj.get("status") or {}
        self.address = around.addresses.of(metadata["namespace"], metadata["name"], known=known.get("podIP", ""))
        self._folder = folder_of(around.state, metadata["uid"])
        self._started_at = datetime.fromisoformat(known["startTime"]) if "startTime" in known else _now()
        self._conditions: list[Object] = known.get("conditions") or []
        self._init, self._main = self._make_containers()
        self._volumes: dict[str, Path] = {}
        self._written: Object = {}
        self._changed, self._ending = asyncio.Event(), asyncio.Event()
        self._grace_s, self._tell = 0.0, False

    async def run(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._changed.set()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part) for part in (self._live(), self._report(), self._refresh_tokens())]
            await self._ending.wait()
            await asyncio.gather(*(container.stop(self._grace_s) for container in (*self._init, *self._main)))
            for task in running:
                task.cancel()
        kill_marked(self._folder)  # what left its process group
        if self._tell:
            await self._remove()

    def update(self, obj: Object) -> None:
        """A newer version of the pod: one that is being deleted is ended, by its own grace period."""
        self.object = obj
        if "deletionTimestamp" in obj["metadata"]:
            self.end(obj["metadata"].get("deletionGracePeriodSeconds", DEFAULT_GRACE_S), tell=True)

    def end(self, grace_s: float, *, tell: bool) -> None:
        """End all processes; `tell` the API server that the pod can go (not when it is gone, or the agent goes)."""
        if not self._ending.is_set():
            self._grace_s, self._tell = grace_s, tell
            self._ending.set()

    def record(self, container: str) -> Record | None:
        return next((c.record for c in (*self._init, *self._main) if c.record.name == container), None)

    def _make_containers(self) -> tuple[list[Container], list[Container]]:
        spec, known = self.object["spec"], self.object.get("status") or {}
        policy, grace_s = (
            spec.get("restartPolicy", "Always"),
            spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_S),
        )

        def make(section: str, statuses: str, restart: str, reason: str) -> list[Container]:
            rules = Rules(restart, grace_s, self.address, self._around.http)
            made = []
            for container in spec.get(section) or []:
                record = Record(container["name"], container["image"], state=Waiting(reason))
                status.restore(record, known.get(statuses) or [], _now())
                made.append(Container(container, record, rules, self._prepare, self._note, self._warn))
            return made

        init = make(
            "initContainers", "initContainerStatuses", "Never" if policy == "Never" else "OnFailure", INITIALIZING
        )
        return init, make("containers", "containerStatuses", policy, INITIALIZING if init else CREATING)

    async def _live(self) -> None:
        self._volumes = await patiently(self._render_volumes, self._wait_all)
        for container in self._init:
            await container.run()
            if not _succeeded(container.record):
                return  # its restart policy has spoken: the pod has failed
        async with asyncio.TaskGroup() as tasks:
            for container in self._main:
                tasks.create_task(container.run())

    def _wait_all(self, reason: str, message: str) -> None:
        for container in (*self._init, *self._main):
            if isinstance(container.record.state, Waiting):
                container.record.state = Waiting(reason, message)
        self._note()
        self._warn("", reason, message)

    async def _render_volumes(self) -> dict[str, Path]:
        try:
            found = await volumes.render(self._folder / "volumes", self._sources())
            if volumes.uses_account(self.object):
                await self._write_kubeconfig()
        except (KvdevError, OSError) as e:
            raise NotYetError(CREATING, str(e)) from e
        return found

    def _sources(self) -> volumes.Sources:
        namespace, objects = self.object["metadata"]["namespace"], self._around.objects
        return volumes.Sources(
            pod=self._object_with_addresses(),
            get=lambda kind, name: objects.get(namespace, kind, name),
            claim=lambda name: objects.claim_folder(namespace, name),
            token=lambda audience: objects.token(self.object, audience),
            resolve=self._around.addresses.resolve,
        )

    async def _write_kubeconfig(self) -> None:
        token = await self._around.objects.token(self.object)
        text = volumes.kubeconfig(self._around.cluster_config, self.object["metadata"]["namespace"], token)
        volumes.replace(self._folder / "kubeconfig", text.encode(), 0o600)

    async def _refresh_tokens(self) -> None:
        while volumes.uses_account(self.object):
            await asyncio.sleep(REFRESH_TOKENS_S)
            try:
                await self._write_kubeconfig()
                await volumes.write_tokens(self._folder / "volumes", self._sources())
            except KvdevError as e:  # the next time is early enough
                log.warning("token not refreshed", extra={"pod": self._name, "error": str(e)})

    async def _prepare(self, spec: Object, record: Record) -> Launch:
        """Everything for the container's next process; NotYetError says what is missing."""
        image = self._image(spec["image"])
        try:
            variables = environment.variables(spec, await self._env_sources(spec))
            argv = environment.arguments(spec, variables)
            mounts = volumes.mounts(spec, self._volumes)
        except (KvdevError, OSError) as e:
            raise NotYetError("CreateContainerConfigError", str(e)) from e

        def rewrite(text: str) -> str:
            return environment.rewrite_names(environment.rewrite_paths(text, mounts), self._around.addresses.resolve)

        work, logs = self._folder / "work" / spec["name"], self._folder / "logs"
        for folder in (work / "tmp", logs):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            where = rewrite(spec.get("workingDir") or str(work))
            own = {name: rewrite(value) for name, value in variables.items()}
            argv = [rewrite(part) for part in argv]
        except environment.UnresolvedNameError as e:
            raise NotYetError(CREATING, str(e)) from e
        env = self._base_env(image, work) | own
        log_file = log_path(self._around.state, self.object["metadata"]["uid"], record.name, record.restarts)
        return Launch(argv, env, _folder_or(where, work), log_file, image.path, rewrite)

    def _image(self, reference: str) -> images.Image:
        try:
            image = images.find(reference)
        except KvdevError as e:
            raise NotYetError("InvalidImageName", str(e)) from e
        if image is None:
            name = reference.rpartition("/")[2]
            message = (
                f"image {reference} is not in the image store; build it: kvctl dev image build {name} --package DIR"
            )
            raise NotYetError("ErrImagePull", message, "ImagePullBackOff")
        return image

    async def _env_sources(self, spec: Object) -> environment.Sources:
        namespace = self.object["metadata"]["namespace"]
        found: dict[str, dict[str, Object]] = {"configMap": {}, "secret": {}}
        for kind, name in environment.references([spec]):
            if obj := await self._around.objects.get(namespace, kind, name):
                found[kind][name] = obj
        return environment.Sources(self._object_with_addresses(), found["configMap"], found["secret"])

    def _base_env(self, image: images.Image, work: Path) -> dict[str, str]:
        env = {
            "PATH": f"{image.path / 'bin'}:{SYSTEM_PATH}",
            "HOME": str(work),
            "TMPDIR": str(work / "tmp"),
            "HOSTNAME": self.object["metadata"]["name"],
            "LANG": "C.UTF-8",
            CLUSTER_VARIABLE: self._around.state.name,
            POD_VARIABLE: str(self._folder),
        }
        if volumes.uses_account(self.object):
            env["KUBECONFIG"] = str(self._folder / "kubeconfig")
        return {**env, **image.env}

    def _object_with_addresses(self) -> Object:
        known = {"podIP": self.address, "hostIP": self._node_address}
        return {**self.object, "status": {**(self.object.get("status") or {}), **known}}

    @property
    def _name(self) -> str:
        return f"{self.object['metadata']['namespace']}/{self.object['metadata']['name']}"

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self.object['metadata']['namespace']}/pods/{self.object['metadata']['name']}"

    def _note(self) -> None:
        self._changed.set()

    def _warn(self, container: str, reason: str, message: str) -> None:
        self._around.events.warn(self.object, container, reason, message)

    async def _report(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._write_status()

    async def _write_status(self, *, ended: bool = False) -> None:
        for container in self._init:
            container.record.ready = _succeeded(container.record)
        facts = Facts(
            self.object["spec"].get("restartPolicy", "Always"),
            self.object["metadata"].get("generation", 0),
            self.address,
            self._node_address,
            self._started_at,
            self._conditions,
            ended,
        )
        fresh = status.pod_status([c.record for c in self._init], [c.record for c in self._main], facts, _now())
        if fresh == self._written:
            return
        body = {"metadata": {"uid": self.object["metadata"]["uid"]}, "status": fresh}  # never another of the same name
        await self._insist("PATCH", f"{self._path}/status", body, STRATEGIC_MERGE)
        self._written, self._conditions = fresh, fresh["conditions"]

    async def _remove(self) -> None:
        await self._write_status(ended=True)
        preconditions = {"uid": self.object["metadata"]["uid"]}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": preconditions}
        await self._insist("DELETE", self._path, body, "application/json")

    async def _insist(self, method: str, path: str, body: Object, content_type: str) -> None:
        """Ask until there is an answer; a pod that is gone, or another's by now, needs no more."""
        while True:
            try:
                await self._around.api.request(method, path, body=body, content_type=content_type)
            except (ApiError, UnreachableError) as e:
                if isinstance(e, ApiError) and e.status in (404, 409):
                    return
                log.warning("pod request failed", extra={"pod": self._name, "error": str(e)})
            else:
                return
            await asyncio.sleep(RETRY_S)


def folder_of(state: ClusterState, uid: str) -> Path:
    return state.pods / uid


def log_path(state: ClusterState, uid: str, container: str, restarts: int) -> Path:
    """What that run of the container wrote, stdout and stderr as they came."""
    return folder_of(state, uid) / "logs" / f"{container}.{restarts}.log"


def _folder_or(path: str, otherwise: Path) -> Path:
    return Path(path) if Path(path).is_dir() else otherwise


def _succeeded(record: Record) -> bool:
    return isinstance(record.state, Terminated) and record.state.exit_code == 0


def _now() -> datetime:
    return datetime.now(UTC)

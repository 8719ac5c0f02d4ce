"""A cluster's life: `up`, `down`, `status`, and the stopping of single parts for fault drills.

`up` and `down` of one name take turns, do nothing when there is nothing to do, and clear what a crash left.
Used by `kvctl dev`, the demo and the tests.
"""

import asyncio
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kvdev import objects, parts
from kvdev.client import Api, ApiError
from kvdev.errors import KvdevError
from kvdev.plane import commands, pki, process, ready
from kvdev.plane.claim import claimed, name_claimed, turn
from kvdev.state import (
    CLUSTER_VARIABLE,
    DEFAULT_REGIONS,
    STATE_VARIABLE,
    ClusterState,
    Process,
    checked_regions,
    directory_of,
    load,
)

AGENT_GRACE_S = 60.0  # the agent first lets the pods end
POD_GRACE_S = 10.0  # for pods that lost their agent
PART_GRACE_S = 10.0
SERVICE_ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"  # made by the controllers: they run
NODES = "/api/v1/nodes"
GATEWAYS = f"/apis/{objects.GATEWAY_API}/namespaces/default/gateways"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class PartStatus:
    name: str
    pid: int
    running: bool


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """`running` means that every part runs; a part that does not makes the cluster broken."""

    state: ClusterState
    parts: tuple[PartStatus, ...]

    @property
    def running(self) -> bool:
        names = {part.name for part in self.parts if part.running}
        return names == set(commands.COMMANDS)


async def up(
    name: str,
    regions: Mapping[str, Sequence[str]] | None = None,
    *,
    keep_volumes: bool = False,
    say: Say = print,
) -> ClusterState:
    """A running cluster of that name; `regions` maps each region to its zones (default: three regions of two).

    One that runs is left as it is; what a crash left is ended and a fresh one started, with the old volumes when
    `keep_volumes`. KvdevError when it cannot be brought up; then no process of it is left.
    """
    directory = directory_of(name)
    wanted = checked_regions(DEFAULT_REGIONS if regions is None else regions)
    found = await asyncio.to_thread(parts.find, say)
    async with turn(name):
        if known := _running(directory):
            if regions is not None and dict(known.regions) != wanted:
                raise KvdevError(f"cluster {name} runs with other regions; end it first: kvctl dev down --name {name}")
            say(f"cluster {name} is running already")
            return known
        await _end_parts(directory)
        with claimed(name) as claim:
            await process.stop(process.marked(CLUSTER_VARIABLE, name), grace_s=POD_GRACE_S)
            _clear(directory, keep_volumes=keep_volumes)
            state = ClusterState(name=name, slot=claim.slot, regions=wanted, directory=directory)
            try:
                return await _start(state, found, claim.descriptors, say)
            except BaseException:
                await _end_parts(directory)
                raise


async def down(name: str, *, keep_volumes: bool = False, say: Say = print) -> None:
    """End every process of the cluster and remove its folder, but for `volumes/` when asked."""
    directory = directory_of(name)
    async with turn(name):
        if not directory.is_dir():
            say(f"no cluster named {name} here: nothing to do")
            return
        await _end_parts(directory)
        with name_claimed(name) as held:
            if held:  # else these are pods of a namesake in another state folder
                await process.stop(process.marked(CLUSTER_VARIABLE, name), grace_s=POD_GRACE_S)
        _clear(directory, keep_volumes=keep_volumes)
        say(f"cluster {name} is gone")


def status(name: str) -> ClusterStatus:
    """What runs of the cluster; UnknownClusterError when there is none."""
    state = load(directory_of(name))
    found = [PartStatus(name=part.name, pid=part.pid, running=process.is_alive(part)) for part in state.processes]
    return ClusterStatus(state=state, parts=tuple(found))


async def stop_part(name: str, part: str) -> None:
    """Stop one part, as a fault; `start_part` heals it."""
    async with turn(name):
        state = load(directory_of(name))
        commands.of(part, state)  # says which parts there are
        await process.stop([running for running in state.processes if running.name == part], grace_s=PART_GRACE_S)


async def start_part(name: str, part: str) -> None:
    """Start a part that was stopped or died, and wait until it is ready; one that runs is left alone."""
    async with turn(name):
        state = load(directory_of(name))
        if not any(running.name == part and process.is_alive(running) for running in state.processes):
            state = _launch(state, part, ())
        await ready.part(state, part)


async def _start(state: ClusterState, found: parts.Programs, descriptors: Sequence[int], say: Say) -> ClusterState:
    state.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.save()
    state.programs.mkdir()
    for name, path in found.paths.items():
        (state.programs / name).symlink_to(path)
    pki.write(state)
    commands.write_configuration(state)
    say(f"starting cluster {state.name} in slot {state.slot}: etcd, API server, Envoy, Prometheus")
    for part in ("etcd", "kube-apiserver", "envoy", "prometheus"):
        state = _launch(state, part, descriptors)
    await ready.part(state, "kube-apiserver")
    for part in ("kube-controller-manager", "kube-scheduler"):
        state = _launch(state, part, descriptors)
    api = await Api.connect(state.kubeconfig)
    try:
        return await _fill(state, api, found.gateway_crds, descriptors, say)
    finally:
        await api.close()


async def _fill(
    state: ClusterState, api: Api, gateway_crds: Sequence[Path], descriptors: Sequence[int], say: Say
) -> ClusterState:
    say("API server is ready: installing CRDs, gateways, the storage class and the operator")
    await objects.install_crds(api, state, gateway_crds)
    state = _launch(state, "agent", descriptors)
    await objects.install(api, state)
    for part in ("kube-scheduler", "envoy", "prometheus"):
        await ready.part(state, part)
    await ready.until(state, "the default service account", lambda: _exists(api, SERVICE_ACCOUNT))
    await ready.until(state, "the readiness of all nodes", lambda: _all_are(api, NODES, "Ready", state.node_names))
    await ready.until(state, "the gateways", lambda: _all_are(api, GATEWAYS, "Programmed", state.regions))
    say(f"cluster {state.name} is up: {len(state.node_names)} nodes in {len(state.regions)} regions")
    return state


async def _exists(api: Api, path: str) -> bool:
    try:
        await api.request("GET", path)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


async def _all_are(api: Api, path: str, condition_type: str, names: Collection[str]) -> bool:
    """Whether every object of those names is there and says that this condition is True."""
    true = {
        obj["metadata"]["name"]
        for obj in (await api.request("GET", path))["items"]
        for condition in obj.get("status", {}).get("conditions") or ()
        if condition["type"] == condition_type and condition["status"] == "True"
    }
    return true >= set(names)


def _launch(state: ClusterState, part: str, descriptors: Sequence[int]) -> ClusterState:
    """Starts the part and records it at once: whatever happens next, `down` finds it."""
    started = process.start(
        part,
        commands.of(part, state),
        environment={CLUSTER_VARIABLE: state.name, STATE_VARIABLE: str(state.directory)},
        log=state.logs / f"{part}.log",
        cwd=state.directory,
        descriptors=descriptors,
    )
    others: tuple[Process, ...] = tuple(other for other in state.processes if other.name != part)
    state = replace(state, processes=(*others, started))
    state.save()
    return state


def _running(directory: Path) -> ClusterState | None:
    try:
        found = status(directory.name)
    except KvdevError:
        return None  # none there, or its file is damaged: `up` makes a new one
    return found.state if found.running else None


async def _end_parts(directory: Path) -> None:
    """The agent first, with time for its pods; then all others at once, for their state is of no more use."""
    try:
        recorded = load(directory).processes
    except KvdevError:
        recorded = ()
    await process.stop([part for part in recorded if part.name == "agent"], grace_s=AGENT_GRACE_S)
    await process.stop([*recorded, *process.marked(STATE_VARIABLE, str(directory))], grace_s=0)


def _clear(directory: Path, *, keep_volumes: bool) -> None:
    if not directory.is_dir():
        return
    if not keep_volumes:
        shutil.rmtree(directory)
        return
    for entry in directory.iterdir():
        if entry.name == "volumes":
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()

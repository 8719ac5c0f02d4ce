"""A control plane for the tests of this folder: etcd, API server and controllers, with no node and no agent."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from terminal import Kubectl

from kvdev import objects, parts
from kvdev.client import Api
from kvdev.plane import commands, pki, process, ready
from kvdev.plane.claim import claimed
from kvdev.state import ClusterState

PARTS = ("etcd", "kube-apiserver", "kube-controller-manager")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterState]:
    name, directory = "contract", tmp_path_factory.mktemp("plane")
    found = parts.find(print)
    with claimed(name) as claim:
        state = ClusterState(name=name, slot=claim.slot, regions={"eu-west": ("a", "b")}, directory=directory)
        state = _prepared(state, found.paths)
        try:
            for part in PARTS:
                state = _started(state, part, claim.descriptors)
            asyncio.run(_crds(state, found.gateway_crds))
            yield state
        finally:
            asyncio.run(process.stop(state.processes, grace_s=5))


@pytest.fixture(scope="session")
def kubectl(control_plane: ClusterState) -> Kubectl:
    return Kubectl(control_plane)


@pytest.fixture
async def api(control_plane: ClusterState) -> AsyncIterator[Api]:
    api = await Api.connect(control_plane.kubeconfig)
    yield api
    await api.close()


def _prepared(state: ClusterState, paths: Mapping[str, Path]) -> ClusterState:
    state.programs.mkdir(parents=True)
    for name, path in paths.items():
        (state.programs / name).symlink_to(path)
    pki.write(state)
    commands.write_configuration(state)
    return state


def _started(state: ClusterState, part: str, descriptors: tuple[int, ...]) -> ClusterState:
    log = state.logs / f"{part}.log"
    command = commands.of(part, state)
    started = process.start(part, command, environment={}, log=log, cwd=state.directory, descriptors=descriptors)
    state = replace(state, processes=(*state.processes, started))
    if part == "kube-apiserver":
        asyncio.run(ready.part(state, part))
    return state


async def _crds(state: ClusterState, gateway_crds: list[Path]) -> None:
    api = await Api.connect(state.kubeconfig)
    try:
        await objects.install_crds(api, state, gateway_crds)
    finally:
        await api.close()

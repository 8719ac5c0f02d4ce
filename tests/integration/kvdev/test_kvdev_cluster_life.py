"""A real cluster comes up, survives what may happen to it, and goes without a trace."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from kvdev import cluster
from kvdev.client import Api
from kvdev.errors import BrokenClusterError, KvdevError, UnknownClusterError
from kvdev.plane import commands, process
from kvdev.state import API_PORT, CLUSTER_VARIABLE, PROMETHEUS_PORT, ClusterState

pytestmark = pytest.mark.real

NAME = f"life-{os.getpid()}"
SHARED = f"{NAME}-shared"
REGIONS = {"eu-west": ("a", "b"), "us-east": ("a",)}


@pytest.fixture(autouse=True)
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """State of its own; whatever a test leaves is ended."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield
    await cluster.down(NAME)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterState]:
    """A cluster for the tests that leave it as they found it; each sees it as its own home's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("shared")))
        yield asyncio.run(cluster.up(SHARED, REGIONS))
        asyncio.run(cluster.down(SHARED))


@pytest.fixture
def shared(running: ClusterState, monkeypatch: pytest.MonkeyPatch) -> ClusterState:
    monkeypatch.setenv("XDG_STATE_HOME", str(running.directory.parents[1]))
    return running


def kubectl(state: ClusterState, *arguments: str) -> str:
    command: list[str | Path] = [state.programs / "kubectl", f"--kubeconfig={state.kubeconfig}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


async def kill(state: ClusterState, part: str) -> None:
    await process.stop([running for running in state.processes if running.name == part], grace_s=0)


def is_listening(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


async def test_a_cluster_comes_up_with_nodes_gateways_and_storage_and_goes_without_a_trace() -> None:
    state = await cluster.up(NAME, REGIONS)
    assert cluster.status(NAME).running
    assert kubectl(state, "get", "nodes", "-o", "name").split() == [
        "node/eu-west-a",
        "node/eu-west-b",
        "node/us-east-a",
    ]
    assert kubectl(state, "get", "gateways", "-o", "name").count("gateway.networking") == 2
    assert "standard (default)" in kubectl(state, "get", "storageclass")
    assert kubectl(state, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}") == "admin"

    await cluster.down(NAME)
    assert process.marked(CLUSTER_VARIABLE, NAME) == []
    assert not state.directory.exists()
    assert not is_listening(state.plane_address, API_PORT)
    assert not is_listening(state.prometheus_address, PROMETHEUS_PORT)


def test_writes_are_in_the_audit_log_under_their_user(shared: ClusterState) -> None:
    kubectl(shared, "create", "configmap", "mine")
    kubectl(shared, "get", "configmap", "mine")
    events = [json.loads(line) for line in (shared.logs / "audit.log").read_text().splitlines()]
    mine = [(event["user"]["username"], event["verb"]) for event in events if event["objectRef"].get("name") == "mine"]
    assert mine == [("admin", "create")]


async def test_up_again_leaves_a_running_cluster_as_it_is(shared: ClusterState) -> None:
    said = list[str]()
    again = await cluster.up(SHARED, say=said.append)
    assert again == shared
    assert said == [f"cluster {SHARED} is running already"]
    with pytest.raises(KvdevError, match="runs with other regions"):
        await cluster.up(SHARED, {"mars": ("a",)})


async def test_up_after_a_crash_ends_what_is_left_and_starts_a_fresh_cluster() -> None:
    crashed = await cluster.up(NAME, REGIONS)
    kubectl(crashed, "create", "configmap", "old")
    await kill(crashed, "kube-apiserver")
    await kill(crashed, "agent")
    state = await cluster.up(NAME, REGIONS)
    assert cluster.status(NAME).running
    assert {part.pid for part in crashed.processes}.isdisjoint(part.pid for part in state.processes)
    assert not any(process.is_alive(part) for part in crashed.processes)
    assert "old" not in kubectl(state, "get", "configmaps")


async def test_what_an_unrecorded_crash_left_is_found_by_the_next_up() -> None:
    crashed = await cluster.up(NAME, REGIONS)
    (crashed.directory / "cluster.json").write_text("")
    await cluster.up(NAME, REGIONS)
    assert not any(process.is_alive(part) for part in crashed.processes)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
async def test_an_up_that_is_killed_half_way_is_recovered_by_the_next(signum: int) -> None:
    command = [sys.executable, "-m", "kvctl.main", "dev", "up", "--name", NAME]
    with subprocess.Popen(  # noqa: ASYNC220 nothing else is to run meanwhile
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as killed:
        assert killed.stdout
        assert any("API server is ready" in line for line in killed.stdout)
        killed.send_signal(signum)
    if signum == signal.SIGINT:
        assert process.marked(CLUSTER_VARIABLE, NAME) == []
    await cluster.up(NAME, REGIONS)
    assert cluster.status(NAME).running


async def test_down_finds_pods_that_lost_their_agent() -> None:
    state = await cluster.up(NAME, REGIONS)
    pod = process.start(
        "pod", ["sleep", "1000"], environment={CLUSTER_VARIABLE: NAME}, log=Path(os.devnull), cwd=state.directory
    )
    await kill(state, "agent")
    await cluster.down(NAME)
    assert not process.is_alive(pod)


async def test_volumes_stay_when_asked() -> None:
    state = await cluster.up(NAME, REGIONS)
    (state.volumes / "kept").touch()
    await cluster.down(NAME, keep_volumes=True)
    assert [path.name for path in state.directory.iterdir()] == ["volumes"]
    await cluster.up(NAME, REGIONS, keep_volumes=True)
    assert (state.volumes / "kept").exists()


async def test_a_part_that_dies_at_once_is_told_with_the_end_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(commands.COMMANDS, "kube-apiserver", lambda _: ["/bin/sh", "-c", "echo no such flag; exit 1"])
    with pytest.raises(BrokenClusterError, match=r"kube-apiserver died .*\n.*no such flag"):
        await cluster.up(NAME, REGIONS)
    assert process.marked(CLUSTER_VARIABLE, NAME) == []


async def test_two_clusters_run_side_by_side(shared: ClusterState) -> None:
    second = await cluster.up(NAME, REGIONS)
    assert second.slot != shared.slot
    assert cluster.status(SHARED).running
    assert cluster.status(NAME).running


async def test_a_name_that_runs_from_another_state_folder_is_refused_and_left_alone(
    shared: ClusterState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(KvdevError, match="already runs on this machine"):
        await cluster.up(SHARED, REGIONS)
    assert all(process.is_alive(part) for part in shared.processes)


async def test_prometheus_is_stopped_and_started_again() -> None:
    state = await cluster.up(NAME, REGIONS)
    await cluster.stop_part(NAME, "prometheus")
    assert not is_listening(state.prometheus_address, PROMETHEUS_PORT)
    assert not cluster.status(NAME).running
    await cluster.start_part(NAME, "prometheus")
    async with aiohttp.ClientSession() as session, session.get(f"{state.prometheus_url}/-/ready") as answer:
        assert answer.status == 200
    assert cluster.status(NAME).running


async def test_prometheus_scrapes_what_is_in_the_targets_folder(shared: ClusterState) -> None:
    # The agent owns `pods.json`; any other file stands beside it.
    target = {"targets": [f"{shared.prometheus_address}:{PROMETHEUS_PORT}"], "labels": {"pod": "itself"}}
    (shared.targets / "test.json").write_text(json.dumps([target]))
    query = {"query": 'up{pod="itself"} == 1'}
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            async with session.get(f"{shared.prometheus_url}/api/v1/query", params=query) as answer:
                if (await answer.json())["data"]["result"]:
                    break
            await asyncio.sleep(0.2)


async def test_a_part_that_there_is_not_is_told_with_those_there_are(shared: ClusterState) -> None:
    with pytest.raises(UnknownClusterError, match="the parts are etcd"):
        await cluster.stop_part(SHARED, "promtheus")


async def test_nobody_gets_in_without_a_token_or_past_etcd(shared: ClusterState) -> None:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.get(f"{shared.api_url}/api", ssl=False) as answer:
            assert answer.status == 401
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"https://{shared.plane_address}:{commands.ETCD_PORT}/version", ssl=False)


async def test_the_kinds_of_the_gateway_api_are_served(shared: ClusterState) -> None:
    api = await Api.connect(shared.kubeconfig)
    try:
        routes = await api.request("GET", "/apis/gateway.networking.k8s.io/v1/httproutes")
    finally:
        await api.close()
    assert routes["items"] == []

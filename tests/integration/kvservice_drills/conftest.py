"""What the drills share: namespaces of both modes, clients with sessions, pods with a surprise, relays."""

import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from history.model import Mode, Operation
from history.recorder import Recorder
from kvparts import Pod, StartPod, free_address, running, wait_until

NewClient = Callable[[str, Mode], Recorder]


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all pods: a namespace of each mode, named after it; tokens that all of them know."""
    namespaces = ",".join(f'{{"name": "{mode}", "writeMode": "{mode}", "sessionElsewhere": "mark"}}' for mode in Mode)
    monkeypatch.setenv("KV_NAMESPACES", f"[{namespaces}]")
    monkeypatch.setenv("KV_SESSION_SECRET", "of the drills")
    monkeypatch.setenv("KV_RELAY_TOKEN", "of-the-drills")


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def histories() -> dict[Mode, list[Operation]]:
    """What the clients of `new_client` record."""
    return {mode: [] for mode in Mode}


@pytest.fixture
def new_client(http: httpx.AsyncClient, histories: dict[Mode, list[Operation]]) -> NewClient:
    """-> new(name, mode) -> a client with a session, in the namespace of that mode."""

    def new(name: str, mode: Mode) -> Recorder:
        return Recorder(http, histories[mode], name, random.Random(name), namespace=mode)

    return new


@pytest.fixture
def start_altered_pod(start_pod: StartPod, tmp_path: Path) -> Callable[..., Pod]:
    """-> start(code, **settings) -> a pod in whose process that code has run before the service's own."""

    def start(code: str, **settings: str) -> Pod:
        folder = tmp_path / f"altered-{len(list(tmp_path.glob('altered-*')))}"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(code)
        return start_pod(PYTHONPATH=str(folder), **settings)

    return start


@pytest.fixture
def start_relay(tmp_path: Path) -> Iterator[StartPod]:
    """-> start(**settings) -> a ready relay."""
    with ExitStack() as stack:

        def start(**settings: str) -> Pod:
            address = free_address()
            log = tmp_path / f"relay-{address}.log"
            command = [sys.executable, "-m", "kvservice.main", "relay"]
            process = stack.enter_context(running(command, log, KV_BIND=address, **settings))
            relay = Pod(address, process, log)
            wait_until(relay.ready, "the relay", process)
            return relay

        yield start

"""Two regions of real pods, each with its `kvservice relay`."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from kvparts import Pod, StartPod, free_address, running, wait_until

pytestmark = pytest.mark.real
NAMESPACES = json.dumps([{"name": "*", "writeMode": "lww"}])


class Region(NamedTuple):
    name: str
    pod: Pod
    settings: dict[str, str]

    def put(self, path: str, value: str) -> None:
        assert httpx.put(f"{self.pod.url}/v1/kv/{path}", content=value).status_code in (201, 204)

    def get(self, path: str) -> str | None:
        answer = httpx.get(f"{self.pod.url}/v1/kv/{path}")
        return answer.text if answer.status_code == 200 else None


class RelayProcess:
    def __init__(self, here: Region, peer: Region, folder: Path, stack: ExitStack) -> None:
        address = free_address()
        self.admin = f"http://{address}:9090"
        self.log = folder / f"relay-{here.name}.log"
        settings = {**here.settings, "KV_BIND": address, "KV_PEERS": f"{peer.name}={peer.pod.url}"}
        command = [sys.executable, "-m", "kvservice.main", "relay"]
        self.process = stack.enter_context(running(command, self.log, **settings))
        wait_until(self.ready, f"the relay of {here.name}", self.process)

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.admin}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.read_text().splitlines()]


@pytest.fixture
def regions(start_pod: StartPod, tmp_path: Path) -> tuple[Region, Region]:
    def start(name: str) -> Region:
        settings = {
            "KV_REGION": name,
            "KV_STORE_PATH": str(tmp_path / f"{name}.db"),
            "KV_RELAY_TOKEN": "only-relays",
            "KV_NAMESPACES": NAMESPACES,
        }
        return Region(name, start_pod(**settings), settings)

    return start("eu"), start("us")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_what_is_written_in_one_region_is_read_in_the_other_and_conflicts_are_counted(
    regions: tuple[Region, Region], tmp_path: Path, stack: ExitStack
) -> None:
    eu, us = regions
    eu.put("ns/mine", "eu's")
    eu.put("ns/both", "first")
    us.put("ns/both", "second")
    relays = [RelayProcess(eu, us, tmp_path, stack), RelayProcess(us, eu, tmp_path, stack)]

    def converged() -> bool:
        return us.get("ns/mine") == "eu's" and eu.get("ns/both") == us.get("ns/both") == "second"

    wait_until(converged, "the other region", relays[0].process)
    wait_until(lambda: any("conflict" in each.events() for each in relays), "the conflict", relays[0].process)
    us.put("ns/mine", "us's")
    wait_until(lambda: eu.get("ns/mine") == "us's", "the way back", relays[0].process)
    counted = [line for each in relays for line in httpx.get(f"{each.admin}/metrics").text.splitlines()]
    assert 'kv_relay_lost_total{peer="us"} 0.0' in counted
    assert 'kv_relay_entries_total{outcome="applied",peer="us"} 2.0' in counted


def test_a_relay_that_is_asked_to_end_does_so_at_once_and_without_a_trace(
    regions: tuple[Region, Region], tmp_path: Path, stack: ExitStack
) -> None:
    eu, us = regions
    relay = RelayProcess(eu, us, tmp_path, stack)
    relay.process.terminate()

    assert relay.process.wait(timeout=20) == 0
    assert relay.events()[-1] == "stopped"
    assert "Traceback" not in relay.log.read_text()


def test_a_relay_without_the_peers_token_says_what_the_peer_answers(
    regions: tuple[Region, Region], tmp_path: Path, stack: ExitStack
) -> None:
    eu, us = regions
    stranger = eu._replace(settings={**eu.settings, "KV_RELAY_TOKEN": "another"})
    relay = RelayProcess(stranger, us, tmp_path, stack)
    wait_until(lambda: "relay_peer_away" in relay.events(), "the refusal", relay.process)

    line = next(json.loads(line) for line in relay.log.read_text().splitlines() if "relay_peer_away" in line)
    assert "the peer answers 401" in line["error"]
    assert us.name == line["peer"]

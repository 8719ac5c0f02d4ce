"""`kvctl load` as a user types it, against a real `kvservice serve`."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BufferedWriter
from pathlib import Path

import httpx
import pytest

from kvctl.demo.slow_release import DELAY_S

pytestmark = pytest.mark.real
Start = Callable[..., str]  # [module] -> address
KVCTL = str(Path(sys.executable).with_name("kvctl"))
HOST = f"127.202.{os.getpid() % 250}.1"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a service by its module; returns its address once it is ready."""
    started: list[tuple[subprocess.Popen[bytes], BufferedWriter]] = []

    def serve(entry: str = "kvservice.main") -> str:
        ports = free_port(), free_port()
        settings = {"KV_BIND": HOST, "KV_PORT": str(ports[0]), "KV_ADMIN_PORT": str(ports[1])}
        settings |= {"KV_STORE_PATH": str(tmp_path / "store.db"), "KV_REGION": "eu-west"}
        command = [sys.executable, "-c", f"from {entry} import main; main()", "serve"]
        log = (tmp_path / "service.log").open("wb")
        started.append((subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log), log))
        deadline = time.monotonic() + 30
        while not is_ready(f"http://{HOST}:{ports[1]}/readyz"):
            assert started[-1][0].poll() is None, (tmp_path / "service.log").read_text()
            assert time.monotonic() < deadline, "not ready in 30 s"
            time.sleep(0.05)
        return f"http://{HOST}:{ports[0]}"

    yield serve
    for process, log in started:
        process.kill()
        process.wait()
        log.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port


def is_ready(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def load(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [KVCTL, "load", "--url", url, "--keys", "20", "--output", "json", "--fail-on-errors", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_every_read_finds_what_was_written(start: Start) -> None:
    done = load(start(), "--rate", "100", "--duration", "2s", "--reads", "0.5")
    assert done.returncode == 0, done.stderr
    total = json.loads(done.stdout)["total"]
    assert total["requests"] > 100
    assert (total["failed"], total["dropped"], total["errors"]) == (0, 0, {})


def test_ctrl_c_ends_the_load_with_its_report(start: Start) -> None:
    command = [KVCTL, "load", "--url", start(), "--keys", "5", "--rate", "100", "--duration", "1h", "--output", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        lines = iter(running.stderr.readline, "")
        assert any("answered" in line for line in lines)  # the first line of progress: it is sending
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 0, err
    assert json.loads(out)["total"]["requests"] > 100


def test_the_demos_slow_release_is_slow_for_reads_alone(start: Start) -> None:
    done = load(start("kvctl.demo.slow_release"), "--rate", "20", "--duration", "2s", "--reads", "0.5")
    figures = next(iter(json.loads(done.stdout)["regions"].values()))
    assert done.returncode == 0, done.stderr
    assert figures["reads"]["p50_ms"] > DELAY_S * 1000
    assert figures["writes"]["p50_ms"] < DELAY_S * 1000

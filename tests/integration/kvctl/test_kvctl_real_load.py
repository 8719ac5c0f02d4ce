"""`kvctl load` and `kvctl calibrate` as a user types them, against a real `kvservice serve`."""

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
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from kvctl.demo.slow_release import DELAY_S
from kvctl.load.command import VOID
from kvplan.plan.inputs import Service, mid

pytestmark = pytest.mark.real
KVCTL = str(Path(sys.executable).with_name("kvctl"))
HOST = f"127.202.{os.getpid() % 250}.1"


class Served(NamedTuple):
    url: str
    metrics: str
    process: subprocess.Popen[bytes]


Start = Callable[..., Served]  # [module]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a service by its module; returns it once it is ready."""
    started: list[tuple[subprocess.Popen[bytes], BufferedWriter]] = []

    def serve(entry: str = "kvservice.main") -> Served:
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
        return Served(f"http://{HOST}:{ports[0]}", f"http://{HOST}:{ports[1]}/metrics", started[-1][0])

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


def load(url: str, *options: str) -> dict[str, Any]:
    """The report; no request may fail. (Whether the run is void is this machine's affair.)"""
    command = [KVCTL, "load", "--url", url, "--keys", "20", "--output", "json", "--fail-on-errors", *options]
    return report_of(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))


def report_of(running: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = running.communicate(timeout=60)
    assert out, err
    report: dict[str, Any] = json.loads(out)
    assert running.returncode == (VOID if report["total"]["void"] else 0), err
    return report


def test_every_read_finds_what_was_written(start: Start) -> None:
    total = load(start().url, "--rate", "100", "--duration", "2s", "--reads", "0.5")["total"]
    assert total["requests"] > 100
    assert (total["failed"], total["dropped"], total["errors"]) == (0, 0, {})


def test_ctrl_c_ends_the_load_with_its_report(start: Start) -> None:
    options = ["--keys", "5", "--rate", "100", "--duration", "1h", "--output", "json"]
    command = [KVCTL, "load", "--url", start().url, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        lines = iter(running.stderr.readline, "")
        assert any("answered" in line for line in lines)  # the first line of progress: it is sending
        running.send_signal(signal.SIGINT)
        assert report_of(running)["total"]["requests"] > 100


def test_a_server_that_stalls_for_a_second_is_seen_by_all_that_was_due_meanwhile(start: Start) -> None:
    """A generator that waits for answers would count a single slow one."""
    served = start()
    options = ["--arrivals", "constant", "--rate", "200", "--duration", "4s", "--max-in-flight", "5000", "--keys", "20"]
    command = [KVCTL, "load", "--url", served.url, *options, "--timeout", "60s", "--output", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        assert any(line.startswith("sending") for line in running.stderr)
        time.sleep(1)
        served.process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        served.process.send_signal(signal.SIGCONT)
        figures = next(iter(report_of(running)["regions"].values()))
    latencies = [figures[what] for what in ("reads", "writes")]
    waited = sum(count for each in latencies for edge_ms, count in each["buckets"] if edge_ms >= 500)
    assert figures["requests"] == 800
    assert waited >= 99  # what was due in the first half of the stall
    assert figures["reads"]["p99.9_ms"] >= 980


def test_the_demos_slow_release_is_slow_for_reads_alone(start: Start) -> None:
    served = start("kvctl.demo.slow_release")
    report = load(served.url, "--rate", "20", "--duration", "2s", "--reads", "0.5")
    figures = next(iter(report["regions"].values()))
    assert figures["reads"]["p50_ms"] > DELAY_S * 1000
    assert figures["writes"]["p50_ms"] < figures["reads"]["p50_ms"] - DELAY_S * 1000 / 2  # however slow the machine is


def test_a_loaded_pod_tells_what_its_requests_cost(start: Start) -> None:
    """Its CPU by the kernel bounds what the calibration may say."""
    served = start()
    options = ["--rate", "100", "--duration", "1h", "--keys", "5", "--reads", "0.5"]
    loading = [KVCTL, "load", "--url", served.url, *options, "--output", "json"]
    calibrating = [KVCTL, "calibrate", "--metrics-url", served.metrics, "--seconds", "3"]
    with subprocess.Popen(loading, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        assert any(line.startswith("sending") for line in running.stderr)
        done = subprocess.run(calibrating, capture_output=True, text=True, timeout=60)
        running.send_signal(signal.SIGINT)
        report_of(running)
    assert done.returncode == 0, done.stderr
    service = Service.model_validate(yaml.safe_load(done.stdout))
    words = Path(f"/proc/{served.process.pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    measured = service.model_fields_set & {"pod_read", "pod_miss", "pod_write"}
    assert measured
    assert all(0 < mid(getattr(service, name).mean) * 100 < cpu_s for name in measured)  # it has served more than 100
    assert mid(service.store_write.mean) < 1

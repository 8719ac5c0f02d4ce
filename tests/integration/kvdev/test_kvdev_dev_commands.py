"""`kvctl dev` as a user types it, on a real cluster."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

NAME = f"typed-{os.getpid()}"


def kvctl(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "kvctl.main", "dev", *arguments, "--name", NAME]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder
        kvctl("down")


def test_a_day_with_a_cluster(home: Path) -> None:
    up = kvctl("up", "--regions", "eu-west=a")
    assert (up.returncode, up.stderr) == (0, "")
    assert f"eval $(kvctl dev env --name {NAME})" in up.stdout

    again = kvctl("up")
    assert "is running already" in again.stdout

    status = kvctl("status", "--output", "json")
    told = json.loads(status.stdout)
    assert (status.returncode, told["running"]) == (0, True)
    assert "kube-apiserver" in kvctl("status").stdout

    script = kvctl("env").stdout + "kubectl get nodes -o name"
    nodes = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert nodes.stdout == "node/eu-west-a\n"

    assert "agent started" in kvctl("logs", "agent").stdout
    nothing = kvctl("logs", "no-such-pod")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert 'pods "no-such-pod" not found' in nothing.stderr

    os.kill(told["parts"]["envoy"]["pid"], 9)
    broken = kvctl("status")
    assert (broken.returncode, "stopped" in broken.stdout) == (1, True)

    assert kvctl("down").returncode == 0
    assert list(home.glob("kvdev/*")) == []
    gone = kvctl("status")
    assert (gone.returncode, gone.stderr.count("\n")) == (1, 1)
    assert f"kvctl dev up --name {NAME}" in gone.stderr

"""`kvctl dev` without a cluster: what it refuses, and what it would run."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from kvctl import dev
from kvctl.errors import UsageError
from kvctl.output import Output
from kvdev.errors import KvdevError, UnknownClusterError
from kvdev.plane import commands
from kvdev.state import DEFAULT_REGIONS, ClusterState, Process, directory_of


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def recorded() -> Callable[[dict[str, int]], ClusterState]:
    def record(pids: dict[str, int]) -> ClusterState:
        """A cluster whose file says that these parts run under these pids."""
        directory = directory_of("dev")
        directory.mkdir(parents=True)
        started = {
            pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) for pid in pids.values()
        }
        parts = tuple(Process(name=name, pid=pid, started=started[pid]) for name, pid in pids.items())
        state = ClusterState(name="dev", slot=0, regions=DEFAULT_REGIONS, directory=directory, processes=parts)
        state.save()
        return state

    return record


def run(*arguments: str) -> object:
    return dev.app(list(arguments), standalone_mode=False)


@pytest.mark.parametrize("command", ["status", "env", "logs etcd"])
def test_a_cluster_that_is_not_there_is_told_with_the_command_that_starts_it(command: str) -> None:
    with pytest.raises(UnknownClusterError, match="kvctl dev up --name dev"):
        run(*command.split())


def test_ending_a_cluster_that_is_not_there_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    run("down")
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("regions", ["eu-west", "=a", "eu-west="])
def test_a_region_without_zones_is_refused_with_an_example(regions: str) -> None:
    with pytest.raises(UsageError, match="eu-west=a,b"):
        run("up", "--regions", regions)


def test_a_zone_named_twice_is_refused() -> None:
    with pytest.raises(KvdevError, match="each once"):
        run("up", "--regions", "eu-west=a,a")


def test_status_of_a_cluster_with_a_dead_part_says_so_and_exits_1(
    recorded: Callable[[dict[str, int]], ClusterState], capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(dict.fromkeys(list(commands.COMMANDS)[1:], 1))
    with pytest.raises(typer.Exit) as exit_info:
        dev.status(name="dev", output=Output.JSON)
    told = json.loads(capsys.readouterr().out)
    assert (exit_info.value.exit_code, told["running"]) == (1, False)


def test_status_of_a_whole_cluster_names_every_part_and_address(
    recorded: Callable[[dict[str, int]], ClusterState], capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(dict.fromkeys(commands.COMMANDS, 1))
    run("status", "--output", "json")
    told = json.loads(capsys.readouterr().out)
    assert told["running"]
    assert set(told["parts"]) == set(commands.COMMANDS)
    assert told["addresses"]["gateway us-east"] == "http://127.48.0.2:8080"


def test_env_makes_a_shell_speak_to_the_cluster(
    recorded: Callable[[dict[str, int]], ClusterState], capfd: pytest.CaptureFixture[str]
) -> None:
    state = recorded({})
    run("env")
    script = capfd.readouterr().out + 'echo "$KUBECONFIG" "${PATH%%:*}"'
    subprocess.run(["/bin/sh", "-c", script], check=True)
    assert capfd.readouterr().out.split() == [str(state.kubeconfig), str(state.programs)]


def test_logs_of_a_part_are_its_file_and_of_a_pod_kubectls(
    recorded: Callable[[dict[str, int]], ClusterState],
) -> None:
    state = recorded({})
    part = dev.log_command(state, "envoy", namespace="default", follow=True)
    pod = dev.log_command(state, "demo-0", namespace="kv", follow=False)
    assert part[-2:] == ["-f", str(state.logs / "envoy.log")]
    assert pod[1:] == [f"--kubeconfig={state.kubeconfig}", "--namespace=kv", "logs", "--", "demo-0"]


def test_an_image_is_built_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = tmp_path / "hello"
    package.mkdir()
    (package / "__init__.py").write_text("def main(): print('hello')\n")
    run("image", "build", "hello:1", "--package", str(package), "--program", "hello=hello:main", "--env", "A=b")
    capsys.readouterr()
    run("image", "list", "--output", "json")
    (image,) = json.loads(capsys.readouterr().out)
    assert (image["name"], image["tag"], image["env"]["A"]) == ("hello", "1", "b")

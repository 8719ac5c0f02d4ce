"""Whatever goes wrong, a user sees one line and an exit code."""

from pathlib import Path
from typing import Never

import pytest

from kvctl import main
from kvctl.errors import KvctlError
from kvdev.errors import KvdevError


def run(tmp_path: Path, *arguments: str) -> int:
    return main.run(list(arguments), log=tmp_path / "logs" / "last-error.log")


def test_the_version_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--version") == 0
    assert capsys.readouterr().out.startswith("kvctl ")


VERBS = ["status", "watch", "promote", "abort", "pause", "resume", "retry"]
PLANS = ["plan", *(f"plan {verb}" for verb in ("explain", "compare", "mitigations"))]
COMMANDS = ["load", "calibrate", *(f"rollout {verb}" for verb in VERBS), *PLANS, "simulate", "demo"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(tmp_path, *command.split(), "--help") == 0
    examples = capsys.readouterr().out.partition("Example")[2]
    assert f" kvctl {command} " in examples


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lod"], "No such command 'lod'"),
        (["load", "--rte", "5"], "No such option: --rte"),
        (["load", "--rate", "many"], "Invalid value for '--rate'"),
        (["load", "--url", "http://127.0.0.1:9", "--rate", "0"], "--rate is 0; expected 0.1 to 5000"),
        (["load", "--url", "http://127.0.0.1:9", "--duration", "5"], "--duration: '5' is not a duration"),
        (["load"], "say what to load"),
        (["load", "--cluster", "a", "--url", "http://127.0.0.1:9"], "say what to load"),
        (["load", "--url", "127.0.0.1:9"], "is no address"),
        (["load", "--url", "http://127.0.0.1:9", "--peak", "9"], "--peak is for --arrivals diurnal"),
        (["calibrate"], "say where to look"),
        (["calibrate", "--prometheus", "http://127.0.0.1:9"], "say where to look"),
        (["calibrate", "--metrics-url", "http://127.0.0.1:9", "--seconds", "0"], "--seconds is 0; expected 1 to 86400"),
        (["rollout", "status"], "Missing argument"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("kvctl: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("error", [KvctlError("no such thing"), KvdevError("no such thing")])
def test_expected_errors_are_their_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    assert run_failing(tmp_path, monkeypatch, error) == 1
    assert capsys.readouterr().err == "kvctl: no such thing\n"


def test_the_unexpected_is_one_line_and_its_trace_goes_to_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_failing(tmp_path, monkeypatch, ZeroDivisionError("by\nzero")) == 1
    log = tmp_path / "logs" / "last-error.log"
    assert capsys.readouterr().err == f"kvctl: unexpected ZeroDivisionError: by (details: {log})\n"
    assert "Traceback" in log.read_text()


def run_failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> int:
    def fail(*_args: object, **_options: object) -> Never:
        raise error

    monkeypatch.setattr("kvctl.load.command._run", fail)
    return run(tmp_path, "load", "--url", "http://127.0.0.1:9")

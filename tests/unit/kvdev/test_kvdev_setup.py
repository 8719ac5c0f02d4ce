"""`python -m kvdev.setup`."""

import json
from pathlib import Path

import pytest

from kvdev import parts, setup
from kvdev.errors import MissingPartError
from kvdev.parts import cassandra, prometheus


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cassandra, "jars", lambda say: [])


def test_it_reports_how_long_it_took_and_how_much_of_that_the_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "find", lambda say: parts.Programs(paths={}, gateway_crds=[], plane_s=12.34))
    assert setup.main() == 0
    report = json.loads(Path("build/setup.json").read_text())
    assert report.keys() == {"setup_s", "compile_s"}
    assert report["compile_s"] == 12.3


def test_a_missing_part_is_one_message_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("KUBE", "release")
    monkeypatch.setenv("KUBE_RELEASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("kvdev.parts.gateway_api.crds", lambda say: [])
    assert setup.main() == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "http://127.0.0.1:9" in last
    assert not Path("build").exists()


def test_a_machine_without_prometheus_and_apt_is_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingPartError, match="apt-get install -y --no-install-recommends prometheus"):
        prometheus.program(print)


def test_a_machine_without_java_has_all_but_cassandra_and_is_told_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(say: object) -> list[Path]:
        raise MissingPartError("no Java; install it with: apt-get install maven")

    monkeypatch.setattr(parts, "find", lambda say: parts.Programs(paths={}, gateway_crds=[], plane_s=0))
    monkeypatch.setattr(cassandra, "jars", missing)
    assert setup.main() == 0
    assert "without Cassandra: no Java; install it with: apt-get install maven" in capsys.readouterr().err

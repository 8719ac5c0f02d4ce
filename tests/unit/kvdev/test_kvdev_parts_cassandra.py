"""Where Cassandra's jars come from, and which Java runs them; small scripts stand in for both programs."""

import shutil
import stat
from pathlib import Path

import pytest

from kvdev.errors import MissingPartError
from kvdev.parts import cassandra

HINT = "apt-get install -y --no-install-recommends maven openjdk-17-jre-headless"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with Java 17 and a Maven that brings some jars: its folder of programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin" if shutil.which("sh", path="/bin") else str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(cassandra, "DEBIAN", folder / "none")
    program(folder / "java", "echo 'openjdk version \"17.0.15\"' >&2")
    program(
        folder / "mvn", 'echo run >> "$0.log"; touch a.jar jna-5.jar netty-x-linux-riscv64.jar netty-x-osx-x86_64.jar'
    )
    return folder


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_jars_are_resolved_once_and_those_of_other_machines_left_away(machine: Path) -> None:
    for _ in range(2):
        assert [path.name for path in cassandra.jars(print)] == ["a.jar", "jna-5.jar"]
    assert (machine / "mvn.log").read_text() == "run\n"


def test_a_machine_without_java_is_told_the_command(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingPartError, match=f"needs Java 17, and none is here; .*{HINT}"):
        cassandra.jars(print)


def test_another_java_is_none(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine / "java", "echo 'openjdk version \"21.0.1\"' >&2")
    with pytest.raises(MissingPartError, match="needs Java 17"):
        cassandra.java()


def test_the_java_of_java_home_comes_first(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jdk" / "bin").mkdir(parents=True)
    program(tmp_path / "jdk" / "bin" / "java", "echo 'openjdk version \"17.0.1\"' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert cassandra.java() == tmp_path / "jdk" / "bin" / "java"


def test_without_maven_the_command_is_told(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "mvn").unlink()
    monkeypatch.setenv("PATH", str(machine))
    with pytest.raises(MissingPartError, match=f"`mvn` is not on PATH; .*{HINT}"):
        cassandra.jars(print)


def test_a_maven_that_fails_leaves_nothing_and_shows_its_last_words(machine: Path) -> None:
    program(machine / "mvn", "touch a.jar; echo 'repository is away' >&2; exit 1")
    with pytest.raises(MissingPartError, match=r"(?s)cannot get Cassandra .*repository is away"):
        cassandra.jars(print)

    program(machine / "mvn", "touch b.jar")
    assert [path.name for path in cassandra.jars(print)] == ["b.jar"]

"""The demo's own care: it never takes down the cluster of another demo that is being told."""

import fcntl
from pathlib import Path

import pytest

from kvctl import main


def test_a_second_demo_is_refused_before_it_touches_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kvctl.demo.story.cluster", None)  # whoever asks it to start or end anything fails
    (tmp_path / "kvctl").mkdir()
    with (tmp_path / "kvctl" / "demo.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main.run(["demo"], log=tmp_path / "trace") == 1
    assert "another `kvctl demo` of this user is running" in capsys.readouterr().err

"""The cache of parts: whole or not at all, made once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kvdev.errors import KvdevError
from kvdev.parts.store import cached


def silent(_: str) -> None:
    pass


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    made: list[Path] = []
    for _ in range(2):
        cached(tmp_path / "part", made.append, silent)
    assert len(made) == 1


def test_two_callers_make_it_once_and_the_second_is_told_that_it_waits(tmp_path: Path) -> None:
    made, said = [], list[str]()
    waiting = threading.Event()

    def make(folder: Path) -> None:
        made.append(folder)
        assert waiting.wait(10), "the second caller came to wait"

    def say(line: str) -> None:
        said.append(line)
        waiting.set()

    with ThreadPoolExecutor() as pool:
        results = [pool.submit(cached, tmp_path / "part", make, say) for _ in range(2)]
        assert {result.result() for result in results} == {tmp_path / "part"}
    assert len(made) == 1
    assert "waiting" in said[0]


def test_a_part_whose_making_fails_is_not_there(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise KvdevError("no network")

    with pytest.raises(KvdevError):
        cached(tmp_path / "part", fail, silent)
    assert not (tmp_path / "part").exists()


def test_the_half_made_part_of_a_killed_run_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".part.partial").mkdir()
    (tmp_path / ".part.partial" / "half").touch()
    folder = cached(tmp_path / "part", lambda folder: (folder / "whole").touch(), silent)
    assert [path.name for path in folder.iterdir()] == ["whole"]

"""Images: folders that are built in one step and found by what a pod says."""

import subprocess
from pathlib import Path

import pytest

from kvdev import images
from kvdev.images import ImageError


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "greeter"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import os, sys\ndef main():\n    print(sys.argv, os.environ.get('PYTHONPATH', '')[-4:])\n    return 5\n"
    )
    return folder


def test_a_built_program_runs_from_the_image_with_its_arguments_and_exit_code(package: Path) -> None:
    path = images.build("greeter:1", packages=[package], programs={"greet": "greeter:main"})
    (package / "__init__.py").unlink()
    done = subprocess.run([path / "bin" / "greet", "a b"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("['greet', 'a b'] /lib\n", 5)


def test_the_code_is_compiled_when_it_is_built(package: Path) -> None:
    path = images.build("greeter:1", packages=[package], programs={"greet": "greeter:main"})
    assert list((path / "lib" / "greeter" / "__pycache__").glob("*.pyc"))


def test_an_image_knows_its_build_and_its_env(package: Path) -> None:
    images.build("greeter:1", packages=[package], programs={"greet": "greeter:main"}, env={"A": "x=y"})
    found = images.find("greeter:1")
    assert found
    assert found.env == {"KV_BUILD": "1", "A": "x=y"}


@pytest.mark.parametrize("reference", ["greeter:1", "registry.example:5000/team/greeter:1", "localhost/greeter:1"])
def test_only_the_last_part_of_a_reference_counts(package: Path, reference: str) -> None:
    images.build("greeter:1", packages=[package], programs={})
    found = images.find(reference)
    assert found
    assert (found.name, found.tag) == ("greeter", "1")


def test_no_tag_means_latest(package: Path) -> None:
    images.build("greeter", packages=[package], programs={})
    assert [f"{image.name}:{image.tag}" for image in images.list_images()] == ["greeter:latest"]


def test_an_unknown_image_is_not_found() -> None:
    assert images.find("nobody:1") is None
    assert images.list_images() == []


def test_a_later_build_takes_the_place_of_the_older_one_and_leaves_nothing(package: Path) -> None:
    images.build("greeter:1", packages=[package], programs={"old": "greeter:main"})
    path = images.build("greeter:1", packages=[package], programs={"new": "greeter:main"})
    assert [entry.name for entry in (path / "bin").iterdir()] == ["new"]
    assert [entry.name for entry in path.parent.iterdir()] == ["1"]


def test_a_build_that_fails_keeps_the_older_one(package: Path) -> None:
    path = images.build("greeter:1", packages=[package], programs={"old": "greeter:main"})
    with pytest.raises(ImageError, match="no folder of a Python package"):
        images.build("greeter:1", packages=[package / "none"], programs={"new": "greeter:main"})
    assert [entry.name for entry in (path / "bin").iterdir()] == ["old"]
    assert [entry.name for entry in path.parent.iterdir()] == ["1"]


@pytest.mark.parametrize("name", ["", ":1", "a b:1", "x:..", "x:1:2", "x@sha256:abc", "x:a/.."])
def test_what_names_no_image_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(ImageError, match=r"names no image: expected NAME:TAG .* such as kvservice:1\.5\.0"):
        images.find(name)


@pytest.mark.parametrize("entry", ["greeter:", "a-b:main", "greeter:main()", ""])
def test_an_entry_that_is_none_is_refused(entry: str) -> None:
    with pytest.raises(ImageError, match="is no entry of greet"):
        images.build("greeter:1", programs={"greet": entry})


@pytest.mark.parametrize("env", [{"A": "two\nlines"}, {"A B": "x"}])
def test_a_variable_that_is_none_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(ImageError, match="cannot be a variable of an image"):
        images.build("greeter:1", programs={}, env=env)


def test_a_linked_program_is_the_one_on_this_machine() -> None:
    path = images.link("shell:1", {"run": Path("/bin/sh")})
    assert (path / "bin" / "run").resolve() == Path("/bin/sh").resolve()


def test_a_link_to_nothing_is_refused() -> None:
    with pytest.raises(ImageError, match="no such executable file"):
        images.link("shell:1", {"run": Path("/nowhere/sh")})


def test_the_valkey_image_has_a_server_that_runs() -> None:
    path = images.build_valkey()
    done = subprocess.run([path / "bin" / "valkey-server", "--version"], capture_output=True, text=True, check=True)
    assert "v=9." in done.stdout

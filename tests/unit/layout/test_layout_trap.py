"""The folder `operator/` must never shadow the standard library's module of that name."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def python(*args: str, cwd: Path) -> str:
    """Run a fresh interpreter that puts `cwd` on its path, as `python -c` does."""
    done = subprocess.run([sys.executable, *args], cwd=cwd, capture_output=True, text=True, env={}, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_module_stands_directly_in_a_folder_named_operator() -> None:
    folders = [folder for folder in ROOT.rglob("operator") if folder.is_dir() and ".venv" not in folder.parts]

    assert ROOT / "operator" in folders
    assert [module for folder in folders for module in folder.glob("*.py")] == []


@pytest.mark.parametrize("cwd", [ROOT, ROOT / "operator", ROOT / "tests"], ids=["root", "operator", "tests"])
def test_the_standard_librarys_operator_is_found_from(cwd: Path) -> None:
    found = python("-c", "import collections, operator; print(operator.__file__)", cwd=cwd)

    assert Path(found).parent == Path(sysconfig.get_path("stdlib"))


def test_an_init_file_in_such_a_folder_would_shadow_it(tmp_path: Path) -> None:
    """The trap is real: should an interpreter stop falling into it, these tests can go."""
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "__init__.py").touch()

    script = "import sys; sys.modules.pop('operator', None); import operator; print(operator.__file__)"

    assert str(tmp_path) in python("-c", script, cwd=tmp_path)

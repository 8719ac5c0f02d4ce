"""What users may get wrong (tests/manifests/wrong): refused by a real API server and by `kvctl lint` in the same sense.

Each file's first lines say so: `# expect:` what lint says, `# by:` who refuses it, `# server:` what the API server says
(no such line: the same words, for a rule of `rules.py` is told alike by both).
"""

import json
import re
from pathlib import Path
from typing import cast

import pytest
from terminal import Kubectl
from typer.testing import CliRunner

from kvctl.main import app
from kvoperator.api.lint import Severity

MANIFESTS = Path(__file__).parents[1] / "manifests"
WRONG = [pytest.param(path, id=path.stem) for path in sorted((MANIFESTS / "wrong").glob("*.yaml"))]
GOOD = [pytest.param(path, id=path.stem) for path in sorted((MANIFESTS / "good").glob("*.yaml"))]
BY_SERVER = [each for each in WRONG if "# by: server+lint" in cast("Path", each.values[0]).read_text()]


def header(path: Path, key: str) -> str:
    prefix = f"# {key}: "
    return next((line.removeprefix(prefix) for line in path.read_text().splitlines() if line.startswith(prefix)), "")


def lint(path: Path) -> tuple[int, list[str]]:
    """Exit code and errors of `kvctl lint`."""
    done = CliRunner().invoke(app, ["lint", str(path), "--output", "json"])
    findings = json.loads(done.stdout)
    errors = [found for found in findings if found["severity"] == Severity.ERROR]
    return done.exit_code, [f"{found['field']}: {found['finding']}" for found in errors]


@pytest.fixture(scope="module")
def refusals(kubectl: Kubectl) -> list[str]:
    """What the API server says, asked to create all of them at once: each refusal names its file."""
    files = [f"-f={each.values[0]}" for each in BY_SERVER]
    answer = kubectl("create", "--dry-run=server", "--validate=strict", *files)
    return re.split(r"^(?=Error from server|error: |resource mapping)", answer.stderr, flags=re.MULTILINE)


def test_there_are_at_least_twenty_wrong_manifests_that_the_api_server_refuses() -> None:
    assert len(BY_SERVER) >= 20


@pytest.mark.parametrize("path", WRONG)
def test_lint_refuses_a_wrong_manifest_with_one_sentence(path: Path) -> None:
    code, (error,) = lint(path)
    assert code == 1
    assert header(path, "expect") in error


@pytest.mark.real
@pytest.mark.parametrize("path", BY_SERVER)
def test_the_api_server_refuses_it_too(refusals: list[str], path: Path) -> None:
    (refusal,) = [each for each in refusals if f'"{path}"' in each]
    assert (header(path, "server") or header(path, "expect")) in refusal


@pytest.mark.parametrize("path", GOOD)
def test_lint_accepts_a_good_manifest(path: Path) -> None:
    assert lint(path) == (0, [])


@pytest.mark.real
@pytest.mark.parametrize("path", GOOD)
def test_the_api_server_accepts_it_too(kubectl: Kubectl, path: Path) -> None:
    answer = kubectl("create", "--dry-run=server", "--validate=strict", "-f", str(path))
    assert answer.returncode == 0, answer.stderr

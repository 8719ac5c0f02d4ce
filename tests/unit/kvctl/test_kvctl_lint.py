"""`kvctl lint` and `kvctl crd` at the terminal."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kvctl.errors import KvctlError
from kvctl.main import app
from kvoperator.api import crd

GOOD = """\
apiVersion: kvcluster.dev/v1alpha1
kind: KVCluster
metadata: {name: demo}
spec:
  release: {image: "kvservice:1.0.0"}
  regions: [{name: eu-west, zones: [a, b]}]
"""
RISKY = GOOD.replace("zones: [a, b]", "zones: [a]")
WRONG = GOOD.replace("name: demo", "name: Demo")


def lint(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["lint", *arguments], input=stdin)


@pytest.mark.parametrize(("text", "code"), [(GOOD, 0), (RISKY, 0), (WRONG, 1), (f"{GOOD}---\n{WRONG}", 1)])
def test_only_errors_make_it_fail(text: str, code: int) -> None:
    assert lint("-", stdin=text).exit_code == code


def test_a_good_manifest_is_said_to_be_good() -> None:
    assert lint("-", stdin=GOOD).output == "-: nothing to object to\n"


def test_objects_of_other_apis_are_passed_over() -> None:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
    assert lint("-", stdin=namespace + GOOD).exit_code == 0
    assert "metadata.name" in lint("-", stdin=namespace + WRONG).output
    assert "expected a KVCluster" in lint("-", stdin=namespace).output


def test_a_finding_tells_the_document_it_is_in() -> None:
    (found,) = json.loads(lint("-", "--output", "json", stdin=f"{GOOD}---\n{WRONG}").stdout)
    assert (found["where"], found["field"], found["value"]) == ("(stdin):8", "metadata.name", "Demo")


def test_broken_yaml_is_told_with_its_line() -> None:
    (found,) = json.loads(lint("-", "-o", "json", stdin=f"{GOOD}  cache: [\n").stdout)
    assert found["where"] == "(stdin):8"


@pytest.mark.parametrize(
    "text",
    [
        "a: \x01",
        "? [a]\n: 1",
        "a: !!python/name:os.system x",
        "&a [*a]",
        "kind: &a [*a]",
        "a: !!int b",
        GOOD + "  cache: &c {ttl: *c}",
        "\t",
        "é",
    ],
)
def test_no_text_is_too_odd_to_be_answered_in_sentences(text: str) -> None:
    done = lint("-", "-o", "json", stdin=text)
    assert done.exit_code == 1
    assert json.loads(done.stdout)


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    done = lint(str(tmp_path / "none.yaml"))
    assert isinstance(done.exception, KvctlError)
    assert str(done.exception).endswith("none.yaml cannot be read: No such file or directory")


def test_crd_prints_what_kubectl_can_apply() -> None:
    assert CliRunner().invoke(app, ["crd"]).stdout == crd.text()

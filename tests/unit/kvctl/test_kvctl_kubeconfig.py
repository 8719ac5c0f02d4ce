"""Which kubeconfig is used."""

from pathlib import Path

import pytest

from kvctl.errors import UnreachableError, UsageError
from kvctl.kube import Kube, find_kubeconfig


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def dev(home: Path, name: str) -> Path:
    return file(home / ".local/state/kvdev" / name / "kubeconfig")


def test_the_option_comes_first_then_the_environment(tmp_path: Path) -> None:
    given, variable = file(tmp_path / "a"), file(tmp_path / "b")
    dev(tmp_path, "demo")
    assert find_kubeconfig(given, {"KUBECONFIG": str(variable)}, tmp_path) == given
    assert find_kubeconfig(None, {"KUBECONFIG": str(variable)}, tmp_path) == variable


def test_a_development_cluster_comes_before_the_users_own(tmp_path: Path) -> None:
    own = file(tmp_path / ".kube" / "config")
    assert find_kubeconfig(None, {}, tmp_path) == own
    assert find_kubeconfig(None, {}, tmp_path) == own
    ours = dev(tmp_path, "demo")
    assert find_kubeconfig(None, {}, tmp_path) == ours


def test_several_development_clusters_must_be_chosen_from(tmp_path: Path) -> None:
    dev(tmp_path, "one"), dev(tmp_path, "two")
    with pytest.raises(UsageError, match=r"one/kubeconfig, .*two/kubeconfig"):
        find_kubeconfig(None, {}, tmp_path)


def test_none_at_all_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="kvctl dev up"):
        find_kubeconfig(None, {}, tmp_path)


def test_a_named_one_that_is_missing_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="there is no kubeconfig at"):
        find_kubeconfig(None, {"KUBECONFIG": str(tmp_path / "gone")}, tmp_path)


@pytest.mark.parametrize("text", ["", "[", "just words", "apiVersion: v1\nkind: Config\n"])
def test_a_file_that_is_no_kubeconfig_is_said_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UnreachableError, match="is no usable kubeconfig"):
        Kube(path)

"""What the operator believes there is, when watches lag, repeat themselves and leave things out."""

from typing import Any

import pytest

from kvoperator.reconcile.mirror import Mirror

Object = dict[str, Any]
KEY = ("web", "shop")


def config(version: int, name: str = "a", **labels: str) -> Object:
    own = {"app.kubernetes.io/managed-by": "kvoperator", "kvcluster.dev/cluster": "shop"} | labels
    metadata = {"namespace": "web", "name": name, "labels": own, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


@pytest.fixture
def mirror() -> Mirror:
    mirror = Mirror()
    mirror.put(config(10))
    return mirror


def test_an_older_version_never_overwrites_a_newer_one(mirror: Mirror) -> None:
    assert mirror.put(config(9)) is None
    assert mirror.children(KEY) == [config(10)]


def test_the_echo_of_an_own_write_is_no_news(mirror: Mirror) -> None:
    assert mirror.put(config(10)) is None


def test_a_newer_version_is_news_for_its_cluster(mirror: Mirror) -> None:
    assert mirror.put(config(11)) == KEY


def test_the_end_of_a_namesake_that_was_there_before_is_no_news(mirror: Mirror) -> None:
    assert mirror.drop(config(9)) is None
    assert mirror.children(KEY) == [config(10)]


def test_what_is_gone_is_gone(mirror: Mirror) -> None:
    assert mirror.drop(config(12)) == KEY
    assert mirror.children(KEY) == []


def test_objects_of_others_are_not_kept(mirror: Mirror) -> None:
    assert mirror.put(config(11, "b", **{"app.kubernetes.io/managed-by": "helm"})) is None
    assert mirror.children(KEY) == [config(10)]


def test_an_object_that_lost_its_labels_is_still_known(mirror: Mirror) -> None:
    bare = config(11)
    bare["metadata"]["labels"] = {}

    assert mirror.put(bare) == KEY
    assert mirror.children(KEY) == [bare]


def test_a_list_takes_away_what_it_does_not_name_but_not_what_came_after_it(mirror: Mirror) -> None:
    mirror.put(config(12, "b"))
    mirror.put(config(21, "c"))

    assert mirror.replace("ConfigMap", [config(12, "b")], as_of=20) == {KEY}
    assert mirror.children(KEY) == [config(12, "b"), config(21, "c")]

"""Namespaces: which policy holds for a name, and what a policy may say."""

import pytest
from pydantic import ValidationError

from kvservice.core.namespaces import Namespace, Namespaces
from kvservice.errors import UnknownNamespace


def test_a_listed_namespace_has_its_own_policy_and_all_others_the_common_one() -> None:
    own, common = Namespace(name="own"), Namespace(name="*")
    namespaces = Namespaces([common, own])

    assert namespaces.of("own") is own
    assert namespaces.of("other") is common


def test_without_a_common_policy_others_do_not_exist_and_it_is_told_which_do() -> None:
    with pytest.raises(UnknownNamespace, match="'other' here; there are: a, b"):
        Namespaces([Namespace(name="b"), Namespace(name="a")]).of("other")
    with pytest.raises(UnknownNamespace, match="there are: none"):
        Namespaces([]).of("other")


def test_a_policy_is_written_as_in_the_manifest() -> None:
    given = {"name": "a", "writeMode": "cas", "ttlS": 60, "valueBytes": 9, "sessionElsewhere": "mark"}

    assert Namespace.model_validate(given).model_dump(by_alias=True, exclude_defaults=True, mode="json") == given


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "A"},
        {"name": "a/b"},
        {"name": "-a"},
        {"name": "a" * 64},
        {"name": "a", "ttlS": -1},
        {"name": "a", "valueBytes": 0},
        {"name": "a", "requestsPerSecond": -1},
        {"name": "a", "requestsPerSecond": float("nan")},
        {"name": "a", "requestsPerSecond": float("inf")},
        {"name": "a", "writeMode": "both"},
        {"name": "a", "home": "not a region"},
        {"name": "a", "surplus": 1},
    ],
)
def test_a_wrong_policy_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Namespace.model_validate(wrong)

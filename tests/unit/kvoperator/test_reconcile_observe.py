"""What a gateway must have said before its weights count as confirmed."""

from typing import Any

import pytest

from kvoperator.api.spec import KVClusterSpec
from kvoperator.core.manifests import Cluster, gateway
from kvoperator.reconcile.observe import confirmed

SPEC = KVClusterSpec.model_validate({"release": {"image": "kv:1"}, "regions": [{"name": "eu", "zones": ["a"]}]})
CLUSTER = Cluster("demo", "default", "uid-1", SPEC)


def said(kind: str, status: str = "True", generation: int = 7) -> dict[str, Any]:
    return {"type": kind, "status": status, "observedGeneration": generation}


def route(*conditions: dict[str, Any]) -> dict[str, Any]:
    backends = [{"name": "demo-eu-aaa", "weight": 95}, {"name": "demo-eu-bbb", "weight": 5}]
    return {
        "metadata": {"name": "demo-eu", "namespace": "default", "generation": 7},
        "spec": {"rules": [{"backendRefs": backends}]},
        "status": {"parents": [{"parentRef": gateway(CLUSTER, SPEC.regions[0]), "conditions": list(conditions)}]},
    }


def test_weights_are_confirmed_by_the_gateway_that_took_in_this_version_of_the_route() -> None:
    answered = route(said("Accepted"), said("ResolvedRefs"), said("SomethingElse", "False"))

    assert confirmed(CLUSTER, SPEC.regions[0], answered) == {"aaa": 95, "bbb": 5}


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        [said("ResolvedRefs")],
        [said("Accepted", "False")],
        [said("Accepted", generation=6)],
        [said("Accepted"), said("ResolvedRefs", "False")],
        [said("Accepted"), said("ResolvedRefs", generation=6)],
    ],
    ids=["silent", "only-refs", "refused", "older-version", "a-back-end-is-missing", "refs-of-an-older-version"],
)
def test_weights_are_not_confirmed_when_the_gateway_is(conditions: list[dict[str, Any]]) -> None:
    assert confirmed(CLUSTER, SPEC.regions[0], route(*conditions)) is None

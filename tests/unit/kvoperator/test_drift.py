"""When a child is written again, and when it is left alone."""

import copy
from typing import Any

import pytest

from kvoperator.api.spec import KVClusterSpec
from kvoperator.api.status import Revision
from kvoperator.core import manifests
from kvoperator.core.drift import drift
from kvoperator.core.manifests import Cluster
from kvoperator.core.rollout.model import RegionPlan

Object = dict[str, Any]
SPEC = {"release": {"image": "kvservice:1"}, "regions": [{"name": "eu-west", "zones": ["a"]}]}


def wanted(kind: str) -> Object:
    cluster = Cluster("shop", "web", "uid-1", KVClusterSpec.model_validate(SPEC))
    revision = Revision(name="aaaaaaaaaa", image="kvservice:1")
    plan = RegionPlan(replicas={revision.name: 2}, weights={revision.name: 100})
    objects = manifests.region(cluster, cluster.spec.regions[0], plan, {revision.name: revision})
    return next(one for one in objects if one["kind"] == kind)


def observed(kind: str) -> Object:
    """As a server would have it: what we wanted and what it adds by itself."""
    found = copy.deepcopy(wanted(kind))
    found["metadata"] |= {"uid": "1", "resourceVersion": "7", "generation": 1}
    found["status"] = {"observedGeneration": 1}
    return found


def test_an_object_that_is_absent_is_applied() -> None:
    assert drift(wanted("Deployment"), None) == "absent"


def test_what_the_server_and_others_add_is_no_drift() -> None:
    found = observed("Deployment")
    found["metadata"]["labels"]["team"] = "shop"
    found["spec"]["progressDeadlineSeconds"] = 600
    pod = found["spec"]["template"]["spec"]
    pod["containers"].insert(0, {"name": "sidecar", "image": "mesh:1"})
    pod["containers"][1]["env"].append({"name": "MESH", "value": "on"})
    pod["containers"][1]["terminationMessagePath"] = "/dev/termination-log"

    assert drift(wanted("Deployment"), found) is None


def test_a_field_that_was_changed_is_named() -> None:
    found = observed("Deployment")
    found["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:1"

    assert drift(wanted("Deployment"), found) == (
        "spec.template.spec.containers[service].image: 'evil:1', wanted 'kvservice:1'"
    )


@pytest.mark.parametrize("gone", ["labels", "ownerReferences"])
def test_metadata_that_was_taken_away_is_drift(gone: str) -> None:
    found = observed("Service")
    del found["metadata"][gone]

    assert drift(wanted("Service"), found)


def test_a_back_end_that_somebody_added_to_the_route_is_drift() -> None:
    found = observed("HTTPRoute")
    found["spec"]["rules"][0]["backendRefs"].append({"name": "other", "port": 80, "weight": 900})

    assert drift(wanted("HTTPRoute"), found) == "spec.rules[0].backendRefs: 2 items, wanted 1"


def test_a_field_that_is_wanted_no_longer_is_found_by_the_hash_of_what_was_applied() -> None:
    found = observed("PersistentVolumeClaim")
    found["metadata"]["annotations"]["kvcluster.dev/applied-hash"] = "of-a-claim-with-an-owner"
    found["metadata"]["ownerReferences"] = [{"uid": "uid-1"}]

    assert drift(wanted("PersistentVolumeClaim"), found) == "other content was applied last"

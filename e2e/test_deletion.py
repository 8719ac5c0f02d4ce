"""Deleting a KVCluster removes what was made for it, and keeps the data unless told otherwise."""

import json

from world import Cluster

KINDS = "deployments,statefulsets,services,configmaps,secrets,jobs,poddisruptionbudgets,httproutes,pods"


def remaining(cluster: Cluster, kinds: str) -> list[str]:
    listed = cluster.world.get(kinds, cluster.namespace, "-l", "kvcluster.dev/cluster=kv")
    return [f"{item['kind']}/{item['metadata']['name']}" for item in listed["items"]]


def test_deletion_removes_everything_but_the_data(ready: Cluster) -> None:
    ready.world.kubectl("delete", "kvcluster", "kv", "-n", ready.namespace)

    ready.wait_gone(lambda: remaining(ready, KINDS))
    assert sorted(remaining(ready, "persistentvolumeclaims")) == [
        "PersistentVolumeClaim/kv-eu-west-data",
        "PersistentVolumeClaim/kv-us-east-data",
    ]


def test_with_deletion_policy_delete_the_data_goes_too(ready: Cluster) -> None:
    policy = json.dumps({"spec": {"deletionPolicy": "Delete"}})
    ready.world.kubectl("patch", "kvcluster", "kv", "-n", ready.namespace, "--type=merge", "-p", policy)
    ready.wait_phase("Done")
    ready.wait(
        "the claims have an owner",
        lambda: all(
            claim["metadata"].get("ownerReferences")
            for claim in ready.world.get("persistentvolumeclaims", ready.namespace)["items"]
        ),
    )

    ready.world.kubectl("delete", "kvcluster", "kv", "-n", ready.namespace)

    ready.wait_gone(lambda: remaining(ready, f"{KINDS},persistentvolumeclaims"))

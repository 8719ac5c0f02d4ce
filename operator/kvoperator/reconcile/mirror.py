"""What the API server has, as far as the watches and our own writes have told: a pass reads it and asks nobody.

A newer version of an object is never overwritten by an older one, so an answer to our own write may be put in at once
and the watch that lags behind it changes nothing. Fed by `runtime/handlers.py` and by `reconcile/act.py`.
"""

from collections.abc import Iterable

from kvoperator.core import naming
from kvoperator.core.manifests import Object
from kvoperator.ports import KVCLUSTER

Key = tuple[str, str]  # namespace and name of a KVCluster
Ref = tuple[str, str, str]  # kind, namespace, name


def ref(manifest: Object) -> Ref:
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


class Mirror:
    def __init__(self) -> None:
        self._objects: dict[Ref, Object] = {}
        self._keys: dict[Ref, Key] = {}
        self._children: dict[Key, set[Ref]] = {}

    def put(self, observed: Object) -> Key | None:
        """The KVCluster whom this is news for; None if it is none of ours, or old."""
        own = ref(observed)
        key = self._keys.get(own) or _key(observed)
        known = self._objects.get(own)
        if key is None or (known and _version(known) >= _version(observed)):
            return None
        metadata = {name: value for name, value in observed["metadata"].items() if name != "managedFields"}
        self._objects[own], self._keys[own] = observed | {"metadata": metadata}, key
        self._children.setdefault(key, set()).add(own)
        return key

    def drop(self, observed: Object) -> Key | None:
        """The KVCluster whose object is gone; None if it is none of ours, or another of its name is there already."""
        own = ref(observed)
        if own not in self._objects or _version(self._objects[own]) > _version(observed):
            return None
        del self._objects[own]
        key = self._keys.pop(own)
        self._children[key].discard(own)
        if not self._children[key]:
            del self._children[key]
        return key

    def replace(self, kind: str, items: Iterable[Object], as_of: int) -> set[Key]:
        """Takes a list for the whole truth about a kind as of that version: the KVClusters for whom it was news."""
        present = {ref(item): item for item in items}
        missing = [known for own, known in self._objects.items() if own[0] == kind and own not in present]
        gone = [known for known in missing if _version(known) <= as_of]
        news = {self.drop(known) for known in gone} | {self.put(item) for item in present.values()}
        return {key for key in news if key}

    def get(self, own: Ref) -> Object | None:
        return self._objects.get(own)

    def children(self, key: Key) -> list[Object]:
        refs = self._children.get(key, set())
        return [self._objects[own] for own in sorted(refs) if own[0] != KVCLUSTER.name]


def _version(observed: Object) -> int:
    return int(observed["metadata"]["resourceVersion"])


def _key(observed: Object) -> Key | None:
    """An object that lost its labels by hand is still known by name (`_keys`); one that never had them is not ours."""
    metadata, labels = observed["metadata"], observed["metadata"].get("labels") or {}
    if observed["kind"] == KVCLUSTER.name:
        return metadata["namespace"], metadata["name"]
    if labels.get(naming.MANAGED_BY_LABEL) != naming.MANAGER or naming.CLUSTER_LABEL not in labels:
        return None
    return metadata["namespace"], labels[naming.CLUSTER_LABEL]

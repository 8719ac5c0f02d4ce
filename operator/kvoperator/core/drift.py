"""Is an object still what we want it to be? Decides every write to a child, so a converged cluster costs none.

Only fields that we want are compared: what the API server fills in and what others add beside it is theirs. A field
that we no longer want is found by the hash of what was last applied. Quantities compare as text: builders write them
canonically.
"""

from collections.abc import Mapping
from typing import Any

from kvoperator.core import naming
from kvoperator.core.manifests.base import Object

# Lists that server-side apply merges by a key, so that others may add items. Every other list is ours as a whole.
_KEYS = {
    "containers": "name",
    "env": "name",
    "ownerReferences": "uid",
    "ports": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeMounts": "mountPath",
    "volumes": "name",
}


def drift(wanted: Object, observed: Object | None) -> str | None:
    """The first difference as text (`spec.replicas: 3, wanted 2`), None if there is nothing to apply."""
    if observed is None:
        return "absent"
    hashes = [manifest["metadata"].get("annotations", {}).get(naming.APPLIED_HASH) for manifest in (wanted, observed)]
    if hashes[0] != hashes[1]:
        return "other content was applied last"
    return _difference(wanted, observed, "")


def _difference(wanted: Any, observed: Any, path: str) -> str | None:
    if wanted == observed:  # nearly always, and fast
        return None
    if isinstance(wanted, Mapping) and isinstance(observed, Mapping):
        pairs = ((value, observed.get(key), f"{path}.{key}") for key, value in wanted.items())
    elif isinstance(wanted, list) and isinstance(observed, list):
        if (paired := _paired(wanted, observed, path)) is None:
            return f"{path[1:]}: {len(observed)} items, wanted {len(wanted)}"
        pairs = paired
    else:
        return None if _is_nothing(wanted, observed) else f"{path[1:]}: {observed!r}, wanted {wanted!r}"
    return next((found for pair in pairs if (found := _difference(*pair))), None)


def _paired(wanted: list[Any], observed: list[Any], path: str) -> Any:
    key = _KEYS.get(path.rpartition(".")[2])
    if key is None:
        paths = (f"{path}[{index}]" for index in range(len(wanted)))
        return zip(wanted, observed, paths, strict=True) if len(wanted) == len(observed) else None
    present = {item.get(key): item for item in observed}
    return ((item, present.get(item[key]), f"{path}[{item[key]}]") for item in wanted)


def _is_nothing(wanted: Any, observed: Any) -> bool:
    """The API server drops empty text, lists and maps where they mean the same as nothing."""
    return observed is None and wanted in ("", [], {})

"""A pod's volumes as folders: what a mountPath is rewritten to.

Rendered once, before the pod's first container; tokens are written anew by `write_tokens`. Changes of a ConfigMap
or Secret show in the next pod, not in running ones. Names of Services in mounted texts are rewritten to addresses.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kvdev.agent.environment import ConfigError, Resolve, content, field, rewrite_names

Object = dict[str, Any]

ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # mounted into every pod that may use its account
DEFAULT_MODE = 0o644


@dataclass(frozen=True)
class Sources:
    """Where contents come from: objects by kind (configMap, secret) and name, folders of claims, tokens by audience."""

    pod: Object
    get: Callable[[str, str], Awaitable[Object | None]]
    claim: Callable[[str], Awaitable[Path]]
    token: Callable[[str], Awaitable[str]]
    resolve: Resolve


async def render(folder: Path, sources: Sources) -> dict[str, Path]:
    """Make each volume; volume -> its folder. ConfigError names what is missing or not supported."""
    return {
        volume["name"]: await _render(volume, folder / volume["name"], sources)
        for volume in sources.pod["spec"].get("volumes") or []
    }


async def write_tokens(folder: Path, sources: Sources) -> None:
    """Write the tokens of projected volumes anew, before they end."""
    for volume in sources.pod["spec"].get("volumes") or []:
        for source in (volume.get("projected") or {}).get("sources") or []:
            if "serviceAccountToken" in source:
                _write(folder / volume["name"], await _projected(source, sources), 0o600)


def mounts(container: Object, volumes: Mapping[str, Path]) -> dict[str, Path]:
    """mountPath -> folder (or file, with a subPath) of one container."""
    found = {}
    for mount in container.get("volumeMounts") or []:
        path = volumes[mount["name"]] / mount.get("subPath", "")
        if not path.exists():
            path.mkdir(parents=True)
        found[mount["mountPath"]] = path
    return found


def uses_account(pod: Object) -> bool:
    containers = pod["spec"]["containers"]
    return any(m["mountPath"] == ACCOUNT_PATH for c in containers for m in c.get("volumeMounts") or [])


def kubeconfig(admins: str, namespace: str, token: str) -> str:
    """A kubeconfig for the same cluster as the text `admins`, with the account's token."""
    cluster = yaml.safe_load(admins)["clusters"][0]["cluster"]
    context = {"cluster": "kvdev", "user": "pod", "namespace": namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "kvdev",
        "clusters": [{"name": "kvdev", "cluster": cluster}],
        "users": [{"name": "pod", "user": {"token": token}}],
        "contexts": [{"name": "kvdev", "context": context}],
    }
    return json.dumps(config)  # JSON is YAML, and quick to write


def replace(path: Path, text: bytes, mode: int) -> None:
    """Write a file in one step, never readable by others than its mode says."""
    partial = path.with_name(f".{path.name}.partial")
    partial.touch(mode=0o600)
    partial.write_bytes(text)
    partial.chmod(mode)
    partial.rename(path)


async def _render(volume: Object, path: Path, sources: Sources) -> Path:
    if "persistentVolumeClaim" in volume:
        return await sources.claim(volume["persistentVolumeClaim"]["claimName"])
    if "hostPath" in volume:
        return Path(volume["hostPath"]["path"])
    _write(path, {}, 0)
    if "projected" in volume:
        mode = volume["projected"].get("defaultMode", DEFAULT_MODE)
        for source in volume["projected"].get("sources") or []:
            _write(path, await _projected(source, sources), mode)
        return path
    kind = next((k for k in ("configMap", "secret", "downwardAPI", "emptyDir") if k in volume), None)
    match kind:
        case None:
            raise ConfigError(f"volume {volume['name']}: {', '.join(volume.keys() - {'name'})} is not supported here")
        case "emptyDir":
            return path
        case "downwardAPI":
            files = _downward(volume[kind].get("items") or [], sources.pod)
        case _:
            name = volume[kind].get("secretName" if kind == "secret" else "name")
            files = await _keys(kind, name, volume[kind], sources)
    _write(path, files, volume[kind].get("defaultMode", DEFAULT_MODE))
    return path


async def _projected(source: Object, sources: Sources) -> dict[str, bytes]:
    for kind in ("configMap", "secret"):
        if kind in source:
            return await _keys(kind, source[kind]["name"], source[kind], sources)
    if "downwardAPI" in source:
        return _downward(source["downwardAPI"].get("items") or [], sources.pod)
    if "serviceAccountToken" in source:
        token = source["serviceAccountToken"]
        return {token["path"]: (await sources.token(token.get("audience", ""))).encode()}
    raise ConfigError(f"projected source {', '.join(source)} is not supported here")


async def _keys(kind: str, name: str, wanted: Object, sources: Sources) -> dict[str, bytes]:
    obj = await sources.get(kind, name)
    if obj is None and not wanted.get("optional"):
        raise ConfigError(f"{kind.lower()} {name!r} not found; a volume needs it")
    keys = {key: _resolved(value, sources.resolve) for key, value in content(kind, obj or {}).items()}
    if not wanted.get("items"):
        return keys
    missing = [item["key"] for item in wanted["items"] if item["key"] not in keys]
    if missing and not wanted.get("optional"):
        raise ConfigError(f"{kind.lower()} {name!r} has no key {', '.join(missing)}; a volume needs it")
    return {item["path"]: keys[item["key"]] for item in wanted["items"] if item["key"] in keys}


def _downward(items: Sequence[Object], pod: Object) -> dict[str, bytes]:
    unsupported = [item["path"] for item in items if "fieldRef" not in item]
    if unsupported:
        raise ConfigError(f"downwardAPI {', '.join(unsupported)}: only fieldRef is supported here")
    return {item["path"]: field(pod, item["fieldRef"]["fieldPath"]).encode() for item in items}


def _resolved(value: bytes, resolve: Resolve) -> bytes:
    try:
        return rewrite_names(value.decode(), resolve, leave_unknown=True).encode()
    except UnicodeDecodeError:
        return value  # no text


def _write(folder: Path, files: Mapping[str, bytes], mode: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name  # the API server refuses names with ..
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, text, mode)

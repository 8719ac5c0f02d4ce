"""What a container's process is started with: pure functions from the pod's object and found facts to argv and env.

Three steps, in this order: `$(VAR)` as Kubernetes expands it, paths of mounts to the folders that stand for them,
names of Services and of their pods to addresses (there is no cluster DNS). A rewritten text is never rewritten again.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvdev.errors import KvdevError

Object = dict[str, Any]
# (namespace, service, pod or None) -> address, None when there is no such Service (yet)
Resolve = Callable[[str, str, str | None], str | None]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"(?<![\w.-])(?:({_LABEL})\.)?({_LABEL})\.({_LABEL})\.svc(?:\.cluster\.local\.?)?(?![\w-]|\.\w)")
_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['([^']+)'\]")


class ConfigError(KvdevError):
    """The container cannot be made from its spec and what it refers to."""


class UnresolvedNameError(KvdevError):
    """A Service that the container names does not exist yet."""


@dataclass(frozen=True)
class Sources:
    """What env may refer to: the pod with its status as it will be, and its ConfigMaps and Secrets by name.

    An object that does not exist is left out.
    """

    pod: Object
    config_maps: Mapping[str, Object]
    secrets: Mapping[str, Object]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` to its value; `$$` to `$`; unknown names stay as they are."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def rewrite_paths(text: str, mounts: Mapping[str, Path]) -> str:
    """Every path at or under a mount (`{mountPath: folder}`), wherever it stands as a whole path, to its folder."""
    roots = {path.rstrip("/"): str(folder) for path, folder in mounts.items() if path.rstrip("/")}
    if not roots:
        return text
    longest_first = "|".join(re.escape(root) for root in sorted(roots, key=len, reverse=True))
    # not inside a longer path or a URL's path, though file:///mnt is one; /data is not the start of /database
    path = re.compile(rf"(?:(?<![\w.\-/}})])|(?<=://))({longest_first})(?![\w.\-])")
    return path.sub(lambda match: roots[match[1]], text)


def rewrite_names(text: str, resolve: Resolve, *, leave_unknown: bool = False) -> str:
    """`svc.ns.svc` and `pod.svc.ns.svc` (also `….cluster.local`) to addresses. UnresolvedNameError for unknown ones."""

    def address(match: re.Match[str]) -> str:
        pod, service, namespace = match.groups()
        found = resolve(namespace, service, pod)
        if found is None and leave_unknown:
            return match[0]
        if found is None:
            raise UnresolvedNameError(f"waits for Service {namespace}/{service}, which {match[0]} names")
        return found

    return _NAME.sub(address, text)


def variables(container: Object, sources: Sources) -> dict[str, str]:
    """`envFrom`, then `env` in order, each value expanded with those before it. ConfigError names what is missing."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix", "")
        found.update({prefix + key: value for key, value in _all_of(source, sources).items()})
    for entry in container.get("env") or []:
        if "valueFrom" in entry:
            value = _value_from(entry["name"], entry["valueFrom"], sources)
        else:
            value = expand(entry.get("value", ""), found)
        if value is not None:
            found[entry["name"]] = value
    return found


def arguments(container: Object, found: Mapping[str, str]) -> list[str]:
    """`command` and `args`, expanded."""
    argv = [expand(part, found) for part in [*(container.get("command") or []), *(container.get("args") or [])]]
    if not container.get("command"):
        raise ConfigError(
            f"container {container['name']} needs a command: images here have no entry point of their own"
        )
    return argv


def field(pod: Object, path: str) -> str:
    """A field of the downward API. ConfigError for one that is not supported."""
    if subscript := _SUBSCRIPT.fullmatch(path):
        section = subscript[1].removeprefix("metadata.")
        return str((pod["metadata"].get(section) or {}).get(subscript[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = pod["metadata"].get(path.removeprefix("metadata.")) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(pairs.items()))
    section, _, name = path.partition(".")
    if path not in _FIELDS:
        raise ConfigError(
            f"fieldRef {path} is not supported; known are {', '.join(sorted(_FIELDS))}, labels, annotations"
        )
    return str((pod.get(section) or {}).get(name, ""))


_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.podIP",
    }
)


def content(kind: str, obj: Object) -> dict[str, bytes]:
    """The keys of a ConfigMap or Secret (`kind` as in a pod's references: configMap, secret) with their bytes."""
    if kind == "secret":
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    texts = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    return texts | {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}


def references(containers: Sequence[Object]) -> set[tuple[str, str]]:
    """(kind, name) of every ConfigMap and Secret that the containers' env refers to."""
    found = set()
    for container in containers:
        for source in container.get("envFrom") or []:
            found |= {
                (kind, source[f"{kind}Ref"]["name"]) for kind in ("configMap", "secret") if f"{kind}Ref" in source
            }
        for entry in container.get("env") or []:
            origin = entry.get("valueFrom") or {}
            found |= {
                (kind, origin[f"{kind}KeyRef"]["name"]) for kind in ("configMap", "secret") if f"{kind}KeyRef" in origin
            }
    return found


def _all_of(source: Object, sources: Sources) -> dict[str, str]:
    kind = "configMap" if "configMapRef" in source else "secret"
    reference = source[f"{kind}Ref"]
    obj = _objects(kind, sources).get(reference["name"])
    if obj is None and not reference.get("optional"):
        raise ConfigError(f"{kind.lower()} {reference['name']!r} not found; envFrom needs it")
    return {key: value.decode(errors="replace") for key, value in content(kind, obj or {}).items()}


def _value_from(name: str, origin: Object, sources: Sources) -> str | None:
    if "fieldRef" in origin:
        return field(sources.pod, origin["fieldRef"]["fieldPath"])
    kind = next((kind for kind in ("configMap", "secret") if f"{kind}KeyRef" in origin), None)
    if kind is None:
        raise ConfigError(
            f"env {name}: {', '.join(origin)} is not supported here; use fieldRef, configMapKeyRef, secretKeyRef"
        )
    reference = origin[f"{kind}KeyRef"]
    value = content(kind, _objects(kind, sources).get(reference["name"], {})).get(reference["key"])
    if value is None and not reference.get("optional"):
        raise ConfigError(
            f"{kind.lower()} {reference['name']!r} has no key {reference['key']!r}, which env {name} needs"
        )
    return None if value is None else value.decode(errors="replace")


def _objects(kind: str, sources: Sources) -> Mapping[str, Object]:
    return sources.config_maps if kind == "configMap" else sources.secrets

"""What is wrong with a manifest, in sentences: the API server's checks (schema and CEL), made without one, and advice.

Pure: `kvctl lint` reads the files. A finding's words about a rule that crosses fields are the API server's own.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kvoperator.api import spec as s
from kvoperator.api.crd import root
from kvoperator.api.rules import RULES
from kvoperator.api.units import (
    COUNT_HELP,
    COUNT_PATTERN,
    DURATION_HELP,
    DURATION_PATTERN,
    QUANTITY_HELP,
    QUANTITY_PATTERN,
    seconds,
)

API_VERSION = f"{s.GROUP}/{s.VERSION}"


class Severity(StrEnum):
    ERROR = "error"  # the API server refuses it
    WARNING = "warning"  # legal, but likely not what is wanted


@dataclass(frozen=True)
class Finding:
    """`sentence` names value and rule; read it after `path`: "spec.regions[0].replicas: 0 is below the smallest …"."""

    path: str
    value: object
    sentence: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}"


class _Metadata(s.Strict):
    name: s.Name
    namespace: s.ObjectName | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    # what `kubectl get -o yaml` adds
    creation_timestamp: Any = None
    deletion_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    finalizers: Any = None
    generation: Any = None
    managed_fields: Any = None
    owner_references: Any = None
    resource_version: Any = None
    uid: Any = None


_METADATA = [field.alias for field in _Metadata.model_fields.values() if field.alias]


class _Manifest(s.Strict):
    api_version: str
    kind: str
    metadata: _Metadata
    spec: s.KVClusterSpec
    status: Any = None


def lint(manifest: object) -> list[Finding]:
    """Everything wrong with one manifest (errors first, then warnings); empty if there is nothing to say.

    As on the API server, rules that cross fields are asked only once each field is sound by itself.
    """
    if not isinstance(manifest, Mapping):
        sentence = f"{_kind(manifest)} is not a manifest; expected apiVersion, kind, metadata and spec"
        return [Finding("(document)", manifest, sentence)]
    if foreign := [*_foreign(manifest)]:
        return foreign
    text = json.dumps(_as_json(manifest, root()), default=str)
    try:
        parsed = _Manifest.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        return [_finding(each) for each in error.errors()]
    breaches = (breach for rule in RULES if rule.check for breach in rule.check(parsed.spec))
    errors = [Finding(breach.path, breach.value, breach.sentence) for breach in breaches]
    return errors or [*_advice(parsed.spec)]


def _kind(value: object) -> str:
    """A value's type in YAML's words."""
    names = {bool: "true/false", int: "a whole number", float: "a number", str: "text", list: "a list", dict: "a map"}
    return names.get(type(value), "nothing")


def _foreign(manifest: Mapping[str, Any]) -> Iterator[Finding]:
    """A manifest of something else gets no other findings: they would only confuse."""
    for field, wanted in (("apiVersion", API_VERSION), ("kind", s.KIND)):
        if field not in manifest:
            yield Finding(field, None, f"is missing; expected {wanted}")
        elif manifest[field] != wanted:
            yield Finding(field, manifest[field], f"{manifest[field]} is not {wanted}")


def _as_json(node: Any, schema: Mapping[str, Any]) -> Any:
    """What the API server sees: keys are text, 2.0 is 2, and a field of ours without a value is a field left out."""
    if isinstance(node, float) and node.is_integer():
        return int(node)
    if isinstance(node, list):
        return [_as_json(each, schema.get("items", {})) for each in node]
    if not isinstance(node, Mapping):
        return node
    fields, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
    known = {_key(key): (value, fields.get(_key(key), rest)) for key, value in node.items()}
    return {key: _as_json(value, here) for key, (value, here) in known.items() if value is not None or not here}


def _key(key: object) -> str:
    """A YAML key as kubectl writes it in JSON: `95` and `99.9` are numbers to YAML."""
    return f"{key:g}" if isinstance(key, float) else str(key).lower() if isinstance(key, bool) else str(key)


def _finding(error: ErrorDetails) -> Finding:
    parts = [part for part in error["loc"] if not str(part).startswith("[")]  # [key], [number], [word]: no fields
    missing = error["type"] == "missing"
    return Finding(_path(parts), None if missing else error["input"], _sentence(error, parts))


def _path(parts: list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


_PATTERNS = {
    DURATION_PATTERN: DURATION_HELP,
    QUANTITY_PATTERN: QUANTITY_HELP,
    COUNT_PATTERN: COUNT_HELP,
    s.PERCENTILE_PATTERN: s.PERCENTILE_HELP,
    s.TIME_PATTERN: s.TIME_HELP,
    s.NAME_PATTERN: "is not a name; write lower-case letters, digits and hyphens, beginning with a letter",
    s.OBJECT_PATTERN: "is not the name of an object; write lower-case letters, digits and hyphens",
    s.ZONE_PATTERN: "is not a zone; write the value of the nodes' label topology.kubernetes.io/zone",
    s.NAMESPACE_PATTERN: "is not a namespace; write lower-case letters, digits, hyphens, dots and underscores, or *",
    s.HOST_PATTERN: "is not a host; write a name or an address, with :port if it is not 9042",
    s.KEYSPACE_PATTERN: "is not a keyspace; write lower-case letters, digits and underscores, beginning with a letter",
    s.IMAGE_PATTERN: "is not an image; write name:tag, such as registry.example/kvservice:1.5.0",
}
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map of fields",
    "bool_type": "true or false",
}


_SENTENCES = {
    "missing": "is required and missing",
    "greater_than_equal": "{value} is below the smallest allowed value {ge}",
    "less_than_equal": "{value} is above the largest allowed value {le}",
    "greater_than": "{value} must be more than {gt:g}",
    "less_than": "{value} must be less than {lt:g}",
    "string_too_long": "{value} has {size} characters; at most {max_length} are allowed",
    "string_too_short": "is empty",
    "too_long": "has {size} entries; at most {max_length} are allowed",
    "too_short": "is empty; at least one entry is needed",
    "enum": "{value} is not {expected}",
    "literal_error": "{value} is neither a whole number nor {expected}",
    "value_error": "{error}",
}


def _sentence(error: ErrorDetails, parts: list[str | int]) -> str:
    """pydantic's error in the words of a person, naming value and rule."""
    value, bounds = error["input"], error.get("ctx", {})
    if error["type"] == "extra_forbidden":
        return _unknown(parts)
    if error["type"] == "string_pattern_mismatch":
        return f"{_shown(value)} {_PATTERNS[bounds['pattern']]}"
    if template := _SENTENCES.get(error["type"]):
        size = len(value) if isinstance(value, str | list | dict) else 0
        return template.format(value=_shown(value), size=size, **bounds)
    return f"{_shown(value)} is {_kind(value)}; expected {_TYPES.get(error['type'], error['msg'])}"


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _unknown(parts: list[str | int]) -> str:
    """`parts` lead to a field that does not exist: say so, and what may have been meant."""
    *parents, field = parts
    schema: dict[str, Any] = root()
    for part in parents:
        inside = "items" if isinstance(part, int) else "additionalProperties"
        schema = schema[inside] if inside in schema else schema["properties"][part]
    known = [*_METADATA] if parents == ["metadata"] else [*schema["properties"]]
    near = {name.lower(): name for name in known}
    match = difflib.get_close_matches(str(field).replace("_", "").lower(), near, n=1)
    hint = f"did you mean {near[match[0]]}?" if match else f"it has {', '.join(known)}"
    return f"{field} is not a field of {_path(parents) or 'a KVCluster'}; {hint}"


def _warning(path: str, value: object, sentence: str) -> Finding:
    return Finding(path, value, sentence, Severity.WARNING)


def _advice(spec: s.KVClusterSpec) -> Iterator[Finding]:
    """Legal, but likely not what is wanted."""
    yield from _advice_on_regions(spec)
    images = {"spec.release.image": spec.release.image, "spec.cache.image": spec.cache.image}
    if cassandra := spec.storage.cassandra:
        images["spec.storage.cassandra.image"] = cassandra.image
        if (copies := cassandra.replication_factor) < 3:
            sentence = f"{copies} of 3: when one node goes, some records can be neither read nor written"
            yield _warning("spec.storage.cassandra.replicationFactor", copies, sentence)
    for path, image in images.items():
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@" not in image and tag in {"", "latest"}:
            sentence = "may mean another build tomorrow; write a tag that is never reused, or a digest"
            yield _warning(path, image, f"{image} {sentence}")
    for index, namespace in enumerate(spec.namespaces):
        if namespace.home and namespace.write_mode is s.WriteMode.LWW:
            sentence = f"{namespace.home} has no effect: every region takes the writes of an lww namespace"
            yield _warning(f"spec.namespaces[{index}].home", namespace.home, sentence)
    if seconds(spec.rollout.bake) == 0:
        yield _warning(
            "spec.rollout.bake", spec.rollout.bake, f"{spec.rollout.bake} leaves no time in which to go back"
        )


def _advice_on_regions(spec: s.KVClusterSpec) -> Iterator[Finding]:
    for index, region in enumerate(spec.regions):
        path = f"spec.regions[{index}]"
        if region.replicas == 1:
            yield _warning(f"{path}.replicas", 1, "1 pod cannot be spread: when it goes, the region is gone")
        if len(region.zones) == 1:
            sentence = f"{region.zones[0]} is the only zone: when it goes, the region is gone"
            yield _warning(f"{path}.zones", region.zones, sentence)
    if spec.workload and not spec.workload.service and any(region.replicas == s.AUTO for region in spec.regions):
        sentence = "auto is sized by the planner's guesses; let kvctl calibrate measure the times"
        yield _warning("spec.workload.service", spec.workload.service, sentence)

"""The CRD made from the models: pydantic's JSON schema made structural, with the rules of `rules.py` put in.

`python -m kvoperator.api.crd` prints it; it is checked in as crds/kvclusters.kvcluster.dev.yaml.
"""

from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter

from kvoperator.api.rules import RULES, Rule
from kvoperator.api.spec import GROUP, KIND, PLURAL, VERSION, KVClusterSpec, Name
from kvoperator.api.status import KVClusterStatus

Schema = dict[str, Any]

COLUMNS = (
    ("Ready", ".status.conditions[?(@.type=='Ready')].status", "Whether every region serves."),
    ("Regions", ".status.regionsReady", "Regions ready / regions wanted."),
    ("Release", ".status.release", "Image that serves by default."),
    ("Phase", ".status.phase", "Where the rollout stands."),
    ("Traffic", ".status.traffic", "Share of the canary."),
)


def crd() -> Schema:
    """The CustomResourceDefinition as the API server takes it."""
    names = {"kind": KIND, "listKind": f"{KIND}List", "plural": PLURAL, "singular": KIND.lower()}
    columns = [{"name": n, "type": "string", "jsonPath": p, "description": d} for n, p, d in COLUMNS]
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            *columns,
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": root()},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {**names, "shortNames": ["kvc"], "categories": ["all"]},
            "versions": [version],
        },
    }


def root() -> Schema:
    """Schema of a whole KVCluster. The name is bounded because all else is named after it (`core/naming.py`)."""
    schema = {
        "description": "A multi-region key-value service that keeps its SLO.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "properties": {"name": TypeAdapter(Name).json_schema()}},
            "spec": _structural(KVClusterSpec, with_defaults=True),
            # the operator writes all of the status: a default there would be a claim nobody made
            "status": _structural(KVClusterStatus, with_defaults=False),
        },
    }
    for rule in RULES:
        _node(schema, rule.at).setdefault("x-kubernetes-validations", []).append(_validation(rule))
    return schema


def _validation(rule: Rule) -> Schema:
    validation = {"rule": rule.cel, "message": rule.says, "messageExpression": rule.message}
    return {**validation, "fieldPath": rule.field} if rule.field else validation


def _node(schema: Schema, path: str) -> Schema:
    """The schema at `spec.slo.latency.*` or `spec.namespaces[].ttl`: `*` is a map's values, `[]` a list's items."""
    for part in path.replace("[]", ".[]").split("."):
        inner = {"*": "additionalProperties", "[]": "items"}.get(part)
        schema = schema[inner] if inner else schema["properties"][part]
    return schema


def _structural(model: type[BaseModel], *, with_defaults: bool) -> Schema:
    schema = model.model_json_schema()
    return _settle(schema, schema.pop("$defs"), with_defaults)


def _settle(node: Schema, definitions: dict[str, Schema], with_defaults: bool) -> Schema:
    """One schema node in the API server's dialect: nothing by reference, no null, no bound but an inclusive one."""
    node = dict(node)
    if reference := node.pop("$ref", None):
        return _settle({**definitions[reference.rpartition("/")[2]], **node}, definitions, with_defaults)
    if choices := node.pop("anyOf", None):  # X | None: an absent field is our null
        (choice,) = (choice for choice in choices if choice != {"type": "null"})
        return _settle({**choice, **node}, definitions, with_defaults)
    if choices := node.pop("oneOf", None):  # a number, or a word in its place
        number, word = choices
        node |= {bound: number[bound] for bound in ("minimum", "maximum")}
        node["pattern"] = word.get("pattern") or f"^{word['const']}$"
        node["x-kubernetes-int-or-string"] = True
    node.pop("title", None)
    node.pop("propertyNames", None)  # not structural: a CEL rule says it
    node.pop("additionalProperties", None) if node.get("additionalProperties") is False else None
    for pattern in node.pop("patternProperties", {}).values():
        node["additionalProperties"] = pattern
    for bound, strict in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if strict in node:
            node[bound], node[strict] = node[strict], True
    if node.get("default", ...) is None or not with_defaults:
        node.pop("default", None)
    elif "default" in node:
        node["default"] = _without_null(node["default"])
    for key in node.keys() & {"items", "additionalProperties"}:
        node[key] = _settle(node[key], definitions, with_defaults)
    if "properties" in node:
        node["properties"] = {k: _settle(v, definitions, with_defaults) for k, v in node["properties"].items()}
    return dict(sorted(node.items(), key=lambda item: _ORDER.index(item[0]) if item[0] in _ORDER else len(_ORDER)))


def _without_null(default: Any) -> Any:
    if isinstance(default, list):
        return [_without_null(each) for each in default]
    if isinstance(default, dict):
        return {key: _without_null(value) for key, value in default.items() if value is not None}
    return default


_ORDER = ("description", "type", "format", "enum", "pattern", "default", "required", "properties", "items")


class _Plain(yaml.SafeDumper):
    """YAML without anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def text() -> str:
    """The CRD as YAML, with a first line that says where it comes from."""
    body = yaml.dump(crd(), Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)
    return f"# Made from operator/kvoperator/api by `make generate`; edit that.\n{body}"


if __name__ == "__main__":
    print(text(), end="")

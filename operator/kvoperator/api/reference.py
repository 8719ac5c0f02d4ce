"""docs/api.md, made from the CRD: every field with type, default, bounds and meaning, and the rules that cross fields.

`python -m kvoperator.api.reference` prints it.
"""

import json
from collections.abc import Iterator

from kvoperator.api.crd import COLUMNS, Schema, root
from kvoperator.api.rules import RULES
from kvoperator.api.spec import GROUP, VERSION
from kvoperator.api.units import COUNT_PATTERN, DURATION_PATTERN, QUANTITY_PATTERN

_INTRO = f"""\
# KVCluster (`{GROUP}/{VERSION}`)

<!-- Made from operator/kvoperator/api by `make generate`; edit that. -->

The API server fills in the defaults, so `kubectl get kvc NAME -o yaml` shows what holds. `kvctl lint FILE` checks a
manifest as the API server does, and gives advice on top.

- A **duration** is whole numbers with units `ms`, `s`, `m`, `h`: `250ms`, `30s`, `1h30m`. There are no days: the API
  server compares durations with CEL, which knows none. They will come with the SLO window, in a field of its own.
- A **size** is a whole number above zero with a unit: `512Ki`, `64Mi`, `10Gi` (powers of 1024), `5M` (powers of 1000).
- Percentiles are the keys of `latency`; quote them or not (`95` and `"95"` are the same).
- `metadata.name` has at most 20 characters (lower-case letters, digits, hyphens, beginning with a letter):
  everything else is named after it.
"""


def text() -> str:
    """The whole page, as Markdown."""
    properties = root()["properties"]
    columns = ["| column | shows |", "|---|---|", *(f"| {name} | {shows} |" for name, _, shows in COLUMNS)]
    parts = [
        _INTRO,
        "## spec\n",
        *_table(properties["spec"], "spec", with_default=True),
        "\n## Rules that cross fields\n",
        "The API server and `kvctl lint` tell a broken one in the same words.\n",
        "| where | rule |\n|---|---|",
        *(f"| `{rule.at}{rule.field}` | {rule.says} |" for rule in RULES),
        "\n## status\n\nWritten by the operator alone.\n",
        *_table(properties["status"], "status", with_default=False),
        "\n## Columns of `kubectl get kvc`\n",
        *columns,
    ]
    return "\n".join(parts) + "\n"


_INSIDE = {"items": "[]", "additionalProperties": ".*"}


def _table(schema: Schema, path: str, *, with_default: bool) -> Iterator[str]:
    head = ["field", "type", "default", "allowed", "meaning"] if with_default else ["field", "type", "meaning"]
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for field, node, default in _fields(schema, path):
        middle = [default, _allowed(node)] if with_default else []
        yield "| " + " | ".join([f"`{field}`", _type(node), *middle, node["description"]]) + " |"


def _fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema, str]]:
    """Each field below `path`, depth first: its path, its schema, its default as text."""
    for name, node in schema.get("properties", {}).items():
        field = f"{path}.{name}"
        inner, mark = next(((node[key], mark) for key, mark in _INSIDE.items() if key in node), (node, ""))
        if "default" in node and "properties" not in node:
            default = f"`{json.dumps(node['default'])}`"
        else:
            default = "**required**" if name in schema.get("required", []) else ""
        yield field, node, default
        yield from _fields(inner, field + mark)


def _type(node: Schema) -> str:
    names = {DURATION_PATTERN: "duration", QUANTITY_PATTERN: "size"}
    if "x-kubernetes-int-or-string" in node:
        return "integer or string"
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if values := node.get("additionalProperties"):
        return f"map of {_type(values)}"
    if node.get("format") == "date-time":
        return "time"
    return names.get(node.get("pattern", ""), str(node["type"]))


def _allowed(node: Schema) -> str:
    """A node's bounds, and those of a list's items where they are scalars."""
    items = node.get("items", {})
    if choices := node.get("enum") or items.get("enum"):
        return ", ".join(f"`{choice}`" for choice in choices)
    bounds = []
    if "minimum" in node:
        low = "above" if node.get("exclusiveMinimum") else "from"
        high = "below" if node.get("exclusiveMaximum") else "to"
        bounds.append(f"{low} {node['minimum']:g} {high} {node['maximum']}")
    if "x-kubernetes-int-or-string" in node:
        word = "with k, M or G" if node["pattern"] == COUNT_PATTERN else f"`{node['pattern'].strip('^$')}`"
        bounds.append(f"or {word}")
    bounds.extend(f"1 to {node[key]} entries" for key in ("maxItems", "maxProperties") if key in node)
    if "maxLength" in node and _type(node) == "string":
        bounds.append(f"at most {node['maxLength']} characters")
    if node.get("x-kubernetes-list-type") in {"set", "map"}:
        bounds.append("none twice" if "type" in items and items["type"] != "object" else "no name twice")
    return ", ".join(bounds)


if __name__ == "__main__":
    print(text(), end="")

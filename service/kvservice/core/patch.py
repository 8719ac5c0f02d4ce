"""JSON merge patch (RFC 7396): what a patch makes of a JSON value. Bytes in, bytes out; knows nothing of records."""

import json
from typing import Any, NoReturn

from kvservice.errors import InvalidRequest, NotPatchable

JSON_TYPE = "application/json"


def parsed(patch: bytes) -> Any:
    """Raises InvalidRequest."""
    try:
        return _value(patch)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the patch is no JSON that can be kept: {error}") from None


def patched(payload: bytes, content_type: str, patch: Any) -> bytes:
    """What a record's value becomes. Raises NotPatchable, InvalidRequest."""
    if not _is_json(content_type):
        raise NotPatchable(f"the value is {content_type or 'of no type'}, only {JSON_TYPE} and …+json can be patched")
    try:
        target = _value(payload)
    except (ValueError, RecursionError) as error:
        raise NotPatchable(f"the value is called {content_type}, but it is no JSON: {error}; write it whole") from None
    return made(target, patch)


def made(target: Any, patch: Any) -> bytes:
    """The merged value as JSON in UTF-8. Raises InvalidRequest for what cannot be written so."""
    try:
        value = merge(target, patch)
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:  # a number beyond 1e308, half a surrogate pair, nested too deep
        raise InvalidRequest(f"the patched value cannot be written as JSON: {error}") from None


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2: `MergePatch`. Leaves both as they are; `target` may be anything."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def _value(data: bytes) -> Any:
    return json.loads(data, parse_constant=_refuse)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == JSON_TYPE or kind.endswith("+json")

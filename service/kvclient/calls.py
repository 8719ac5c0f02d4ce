"""Requests as data: what is sent, before anybody knows where to. Pure."""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from kvclient.records import Delete, Key, Patch, Put, Write

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
BATCH, BATCH_BYTES = 100, 8 * 2**20 - 64  # what the service takes at once
Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the caller, however many requests it takes. `kind`: calls of one kind take about the same time.
    `until_s`: the deadline, in the time of the event loop. `key`: the Idempotency-Key; reads have none."""

    kind: str
    method: str
    path: str
    namespace: str
    until_s: float
    headers: Headers = field(default_factory=dict)
    body: bytes = b""
    key: str | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def record_path(namespace: str, id_: str, item: str) -> str:
    path = f"/v1/kv/{_segment(namespace, 'namespace')}/{_segment(id_, 'id')}"
    return f"{path}/items/{_segment(item, 'item')}" if item else path


def items_path(namespace: str, id_: str, **query: str | int) -> str:
    given = {name: value for name, value in query.items() if value != ""}
    return f"{record_path(namespace, id_, '')}/items?{urlencode(given, quote_via=quote)}"


def batch_path(namespace: str, verb: str) -> str:
    return f"/v1/kv/{_segment(namespace, 'namespace')}:{verb}"


def _segment(text: str, what: str) -> str:
    if not text:
        raise ValueError(f"the {what} is empty; it must have at least one character")
    quoted = quote(text, safe="")
    return quoted.replace(".", "%2E") if text in {".", ".."} else quoted  # else URLs take them for a step up


def asked(priority: str | None, consistency: str | None = None) -> Headers:
    return _given({"kv-priority": priority, "kv-consistency": consistency})


def unless(version: int) -> Headers:
    """For a read: only if this is not the present version."""
    return {"if-none-match": _tag(version)}


def typed(content_type: str) -> Headers:
    return {"content-type": content_type}


def write_headers(
    content_type: str | None = None,
    *,
    ttl_s: int | None = None,
    if_match: int | None = None,
    create_only: bool = False,
) -> Headers:
    _refuse_both(if_match, create_only)
    return _given(
        {
            "content-type": content_type,
            "kv-ttl": None if ttl_s is None else str(ttl_s),
            "if-match": None if if_match is None else _tag(if_match),
            "if-none-match": "*" if create_only else None,
        }
    )


def _given(headers: dict[str, str | None]) -> Headers:
    return {name: value for name, value in headers.items() if value is not None}


def _refuse_both(if_match: int | None, create_only: bool) -> None:
    if create_only and if_match is not None:
        raise ValueError("if_match asks for a version, create_only for none: they cannot both hold")


def _tag(version: int) -> str:
    return f'"{version}"'


def checked(value: bytes) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"a value is bytes, not {type(value).__name__}; encode it first")
    return bytes(value)


def patch_body(patch: Any) -> bytes:
    """A merge patch (RFC 7396)."""
    return json.dumps(patch, separators=(",", ":")).encode()


def distinct(writes: Iterable[Write]) -> list[Write]:
    every = list(writes)
    seen = Counter(Key(write.id, write.item) for write in every)
    if twice := [key for key, times in seen.items() if times > 1]:
        raise ValueError(f"{twice[0]} is written twice; the order would be anybody's guess, so do it in two calls")
    return every


def batch_get_bodies(keys: Iterable[Key]) -> Iterator[tuple[bytes, int]]:
    """-> bodies, and how many keys are in each."""
    return _bodies("keys", [_named(key.id, key.item) for key in keys])


def batch_write_bodies(writes: Iterable[Write]) -> Iterator[tuple[bytes, int]]:
    """-> bodies, and how many writes are in each."""
    return _bodies("writes", [_written(write) for write in writes])


def _bodies(name: str, entries: list[dict[str, Any]]) -> Iterator[tuple[bytes, int]]:
    """As few as the service's limits allow. An entry that is too large alone is sent alone, for the service to say."""
    part: list[str] = []
    size = 0
    for text in (json.dumps(entry) for entry in entries):
        if part and (len(part) == BATCH or size + len(text) > BATCH_BYTES):
            yield _body(name, part)
            part, size = [], 0
        part.append(text)
        size += len(text) + 2
    if part:
        yield _body(name, part)


def _body(name: str, entries: list[str]) -> tuple[bytes, int]:
    return f'{{"{name}": [{", ".join(entries)}]}}'.encode(), len(entries)


def _named(id_: str, item: str) -> dict[str, Any]:
    return {"id": id_, "item": item} if item else {"id": id_}


def _written(write: Write) -> dict[str, Any]:
    match write:
        case Put():
            _refuse_both(write.if_match, write.create_only)
            own = {"op": "put", "value": _base64(checked(write.value)), "contentType": write.content_type}
            conditions = {"ttlS": write.ttl_s, "ifNoneMatch": "*" if write.create_only else None}
        case Patch():
            own = {"op": "patch", "value": _base64(patch_body(write.patch))}
            conditions = {"ttlS": write.ttl_s}
        case Delete():
            own, conditions = {"op": "delete"}, {}
    conditions["ifMatch"] = None if write.if_match is None else _tag(write.if_match)
    given = {name: value for name, value in conditions.items() if value is not None}
    return {**_named(write.id, write.item), **own, **given}


def _base64(value: bytes) -> str:
    return b64encode(value).decode()

"""Names in addresses and bodies: namespace, id, item. What they may be, and how a path's segment is decoded."""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from kvservice.core.namespaces import NAME_PATTERN
from kvservice.core.ports import Key
from kvservice.errors import InvalidRequest

BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NAMESPACE = re.compile(NAME_PATTERN)


def key(path: dict[str, Any], limit: int) -> Key:
    """From path parameters as they were sent, percent-encoded: see `kvservice.http.app.EncodedPath`."""
    item = part(decoded(path["item"], "item"), "item", limit) if "item" in path else ""
    return Key(namespace(path["ns"]), part(decoded(path["id"], "id"), "id", limit), item)


def namespace(segment: str) -> str:
    name = decoded(segment, "namespace")
    if not _NAMESPACE.fullmatch(name):
        raise InvalidRequest(f"namespace {name!r} does not match {NAME_PATTERN}")
    return name


def part(text: str, what: str, limit: int, *, least: int = 1) -> str:
    """An id, an item or a beginning of one, of `least` to `limit` bytes."""
    length = len(text.encode())
    if not least <= length <= limit:
        raise InvalidRequest(f"{what} has {length} bytes, {least} to {limit} are allowed")
    if "\0" in text:
        raise InvalidRequest(f"{what} {text!r} contains a NUL character; leave it out")
    return text


def decoded(segment: str, what: str) -> str:
    if BAD_ESCAPE.search(segment):
        raise InvalidRequest(f"{what} {segment!r}: each % must be followed by two hexadecimal digits; write % as %25")
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{what} {segment!r} is not UTF-8 when decoded") from None

"""Query strings: each parameter once, in UTF-8."""

from collections.abc import Collection
from urllib.parse import parse_qsl

from starlette.requests import Request

from kvservice.errors import InvalidRequest


def parameters(request: Request, known: Collection[str]) -> dict[str, str]:
    """Unknown ones are refused: a range with a misspelt `prefix` would be another range."""
    raw = request.scope["query_string"].decode("latin-1")
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=16)
    except ValueError:  # UnicodeDecodeError is one
        raise InvalidRequest("the query is not UTF-8 when decoded, or has more than 16 parameters") from None
    names = [name for name, _ in pairs]
    if wrong := sorted({name for name in names if name not in known}):
        raise InvalidRequest(f"the query has {', '.join(map(repr, wrong))}, expected only {', '.join(known)}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidRequest(f"the query has {', '.join(twice)} more than once")
    return dict(pairs)

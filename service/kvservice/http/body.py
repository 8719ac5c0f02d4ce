"""Request bodies: read with a limit that holds while they arrive, and as JSON of a given shape."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from kvservice.errors import InvalidRequest, ValueTooLarge

JSON_BYTES = 8 * 2**20  # of a batch, and of the values in a batch's answer
Shape = TypeVar("Shape", bound=BaseModel)


async def read(request: Request, limit: int) -> bytes:
    """What goes beyond the limit is not read. A declared length is believed only when it is too large."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > limit:
            raise _too_large(limit)
        parts.append(part)
    return b"".join(parts)


def shaped(body: bytes, shape: type[Shape]) -> Shape:
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        first, *more = error.errors(include_url=False, include_context=False, include_input=False)
        where = ".".join(map(str, first["loc"])) or "body"
        text = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"{where}: {text}{f' (and {len(more)} more)' if more else ''}") from None


def _too_large(limit: int) -> ValueTooLarge:
    return ValueTooLarge(f"the body has more than the {limit} bytes allowed; split it, or have the limit raised")

"""A change as it travels between regions: JSON whose envelope, made anew, is the origin's to the byte."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from kvservice.core.envelope import MAX_CONTENT_TYPE_BYTES, Envelope, decode, encode
from kvservice.core.ports import Entry, Key
from kvservice.errors import InvalidRequest

_NO_NUL = r"^[^\x00]*$"
_MAX = 2**63 - 1  # what stores can hold


def _decimal(value: Any) -> Any:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 19:
        return int(value)
    raise ValueError("expected decimal digits as a string")


def _base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("expected base64 as a string")  # noqa: TRY004 - pydantic's way
    return b64decode(value, validate=True)


Version = Annotated[int, BeforeValidator(_decimal), Field(ge=1, le=_MAX)]
Name = Annotated[str, Field(min_length=1, pattern=_NO_NUL)]
Region = Annotated[str, Field(min_length=1, max_length=63)]


class _Change(BaseModel):
    """Namespaces have names: "" is where a region keeps its own notes, which no other may write."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel)

    namespace: Name
    id: Name
    item: Annotated[str, Field(pattern=_NO_NUL)] = ""
    version: Version
    region: Region
    content_type: Annotated[str, Field(max_length=MAX_CONTENT_TYPE_BYTES, pattern=r"^[\x00-\xff]*$")]
    value: Annotated[bytes, BeforeValidator(_base64)]
    deleted: bool
    expires_us: Annotated[int, Field(ge=0, le=_MAX)]
    seen: Annotated[dict[Region, Version], Field(max_length=255)]


def to_json(entry: Entry) -> dict[str, Any]:
    """-> what `from_json` takes. Versions are strings of decimal digits, the value is base64."""
    key, envelope = entry.key, decode(entry.envelope)
    return {
        "namespace": key.namespace,
        "id": key.id,
        **({"item": key.item} if key.item else {}),
        "version": str(envelope.version),
        "region": envelope.region,
        "contentType": envelope.content_type,
        "value": b64encode(envelope.payload).decode(),
        "deleted": envelope.tombstone,
        "expiresUs": envelope.expires_us,
        "seen": {region: str(version) for region, version in envelope.seen.items()},
    }


def from_json(change: Mapping[str, Any]) -> Entry:
    """Raises InvalidRequest, also for fields that this build does not know: the envelope would not be the same."""
    try:
        parsed = _Change.model_validate(change)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the change"
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"{where}: {message}; a change is as /v1/changes gives it") from None
    envelope = Envelope(
        version=parsed.version,
        region=parsed.region,
        content_type=parsed.content_type,
        payload=parsed.value,
        expires_us=parsed.expires_us,
        tombstone=parsed.deleted,
        seen=parsed.seen,
    )
    return Entry(Key(parsed.namespace, parsed.id, parsed.item), encode(envelope))

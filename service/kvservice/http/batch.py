"""The batch routes: up to 100 operations of one namespace at once, each with an outcome of its own."""

from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kvservice.core.batch import each
from kvservice.core.conditions import Conditions
from kvservice.core.ports import Key
from kvservice.core.records import Found, Records, Written
from kvservice.core.request import Context
from kvservice.errors import KvError, ValueTooLarge
from kvservice.http import body, headers, names, problems
from kvservice.http.door import Asked, Doing, Door, arrived
from kvservice.http.items import shown

GET_PATH, WRITE_PATH = "/v1/kv/{ns}:batchGet", "/v1/kv/{ns}:batchWrite"
MAX_OPERATIONS = 100


BASE64_PATTERN = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


def _decoded(text: object) -> bytes:
    try:
        return b64decode(text if isinstance(text, str) else "?", validate=True)
    except ValueError:
        raise ValueError("expected a string of base64, with its padding") from None


Value = Annotated[
    bytes,
    PlainValidator(_decoded),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "pattern": BASE64_PATTERN}),
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, strict=True)


class Name(_Model):
    """Of a record: `item` is left out for the id's own value."""

    id: Annotated[str, Field(min_length=1)]
    item: Annotated[str, Field(min_length=1)] | None = None


class BatchGet(_Model):
    keys: Annotated[list[Name], Field(min_length=1, max_length=MAX_OPERATIONS)]


class Write(Name):
    if_match: str | None = None
    if_none_match: str | None = None


class Put(Write):
    op: Literal["put"]
    value: Value
    content_type: str = headers.DEFAULT_CONTENT_TYPE
    ttl_s: Annotated[int, Field(ge=0, le=headers.MAX_TTL_S)] | None = None


class Patch(Write):
    op: Literal["patch"]
    value: Value
    ttl_s: Annotated[int, Field(ge=0, le=headers.MAX_TTL_S)] | None = None


class Delete(Write):
    op: Literal["delete"]


AnyWrite = Annotated[Put | Patch | Delete, Field(discriminator="op")]


class BatchWrite(_Model):
    writes: Annotated[list[AnyWrite], Field(min_length=1, max_length=MAX_OPERATIONS)]

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        [(name, count)] = Counter((write.id, write.item) for write in self.writes).most_common(1)
        if count > 1:
            raise ValueError(f"{name[0]!r} is written {count} times; a batch has no order, so name each record once")
        return self


class BatchRoutes:
    def __init__(self, records: Records, door: Door, now_us: Callable[[], int]) -> None:
        self._records = records
        self._door = door
        self._now_us = now_us

    async def get(self, request: Request) -> Response:
        asked = await self._door.asked(request, Doing.READ)
        with self._door.room(asked):
            wanted = await self._body(request, asked, BatchGet)
            namespace = names.namespace(request.path_params["ns"])

            def reading(name: Name) -> Callable[[], Awaitable[Found | None]]:
                async def read() -> Found | None:
                    return await self._records.read(self._key(namespace, name), asked.context)

                return read

            outcomes = await each([reading(name) for name in wanted.keys], asked.context.deadline)
        results = self._found(namespace, wanted.keys, outcomes)
        return _answer(wanted.keys, results, headers.of_session(asked.context))

    async def write(self, request: Request) -> Response:
        asked = await self._door.asked(request, Doing.WRITE)
        with self._door.room(asked):
            wanted = await self._body(request, asked, BatchWrite)
            namespace = names.namespace(request.path_params["ns"])

            def writing(number: int, write: Put | Patch | Delete) -> Callable[[], Awaitable[Written]]:
                async def change() -> Written:
                    return await self._write(self._key(namespace, write), number, write, asked)

                return change

            operations = [writing(number, write) for number, write in enumerate(wanted.writes)]
            outcomes = await each(operations, asked.context.deadline)
        results = [_written(write, outcome) for write, outcome in zip(wanted.writes, outcomes, strict=True)]
        return _answer(wanted.writes, results, headers.of_session(asked.context, always=True))

    async def _body(self, request: Request, asked: Asked, shape: type[body.Shape]) -> body.Shape:
        return body.shaped(await arrived(asked.context.deadline, body.read(request, body.JSON_BYTES)), shape)

    def _key(self, namespace: str, name: Name) -> Key:
        limit = self._door.limits.id_bytes
        item = "" if name.item is None else names.part(name.item, "item", limit)
        return Key(namespace, names.part(name.id, "id", limit), item)

    async def _write(self, key: Key, number: int, write: Put | Patch | Delete, asked: Asked) -> Written:
        context = _context(asked.context, number, write)
        match write:
            case Put():
                kind = headers.kept_content_type(write.content_type, "contentType")
                return await self._records.write(key, self._checked(write.value, asked), kind, context)
            case Patch():
                return await self._records.patch(key, self._checked(write.value, asked), context)
            case Delete():
                return await self._records.delete(key, context)

    def _checked(self, value: bytes, asked: Asked) -> bytes:
        if len(value) > (limit := self._door.value_limit(asked)):
            raise ValueTooLarge(f"the value has {len(value)} bytes, at most {limit} are allowed")
        return value

    def _found(
        self, namespace: str, keys: Sequence[Name], outcomes: Sequence[Found | KvError | None]
    ) -> list[dict[str, Any]]:
        """Values beyond the answer's limit are left out, and that is told: each can be read by itself."""
        results, left = [], body.JSON_BYTES
        for name, outcome in zip(keys, outcomes, strict=True):
            match outcome:
                case Found(envelope=envelope) if len(envelope.payload) > left:
                    text = f"the values of the batch have more than {body.JSON_BYTES} bytes; read this one by itself"
                    results.append(_problem(problems.Problem(problems.VALUE_TOO_LARGE, text)))
                case Found():
                    left -= len(outcome.envelope.payload)
                    results.append({"status": 200, **shown(outcome.envelope, self._now_us), **_about(outcome)})
                case None:
                    results.append(_problem(problems.record_not_found(f"{name.id!r} in namespace {namespace!r}")))
                case KvError():
                    results.append(_problem(problems.of(outcome)))
        return results


def _answer(names: Sequence[Name], results: list[dict[str, Any]], about: dict[str, str]) -> Response:
    named = [{**_name(name), **result} for name, result in zip(names, results, strict=True)]
    return JSONResponse({"results": named}, headers=about)


def _context(context: Context, number: int, write: Put | Patch | Delete) -> Context:
    """Of one write of the batch: its own conditions and time to live, and a part of the batch's Idempotency-Key."""
    token = context.idempotency_key
    own_ttl_s = None if isinstance(write, Delete) else write.ttl_s
    return replace(
        context,
        conditions=Conditions(write.if_match, write.if_none_match),
        idempotency_key=None if token is None else f"{token}/{number}",
        ttl_s=context.ttl_s if own_ttl_s is None else own_ttl_s,
    )


def _name(name: Name) -> dict[str, str]:
    return {"id": name.id} if name.item is None else {"id": name.id, "item": name.item}


def _about(found: Found) -> dict[str, Any]:
    """What a single read says in headers."""
    about: dict[str, Any] = {} if found.satisfied else {"sessionSatisfied": False}
    if found.age_s is not None:
        about["ageS"] = headers.age(found.age_s)
    if found.stale_s is not None:
        about["staleS"] = headers.stale(found.stale_s)
    return about


def _written(write: Name, outcome: Written | KvError) -> dict[str, Any]:
    if isinstance(outcome, KvError):
        return _problem(problems.of(outcome))
    replayed = {"replayed": True} if outcome.replayed else {}
    if isinstance(write, Delete):
        return {"status": 204, **replayed}
    return {"status": 201 if outcome.created else 204, "version": str(outcome.version), **replayed}


def _problem(problem: problems.Problem) -> dict[str, Any]:
    return {"status": problem.kind.status, "problem": problem.body()}

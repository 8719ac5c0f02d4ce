"""AsyncClient, and what it shares with its sessions. `kvclient.sync` is the same for threads."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack
from uuid import uuid4

import httpx

from kvclient import answers, calls
from kvclient.attempts import Answer
from kvclient.calls import Call, Headers
from kvclient.engine import Engine, Verify, positive
from kvclient.errors import DeadlineExceeded, KvClientError
from kvclient.records import OCTETS, Head, Item, Key, ReadOptions, Record, Write, WriteOptions, Written
from kvclient.session import Tokens

_BATCHES_AT_ONCE = 4
_T = TypeVar("_T")


class ClientOptions(TypedDict, total=False):
    """`home`: the nearest region, the first by default. `token`: the bearer token, or what gives the present one.
    `host`: the Host header, for a gateway that routes by it. `verify`: False, a file of CA certificates, or a context.
    `deadline_s`: of calls that name none, 10 by default. `max_connections`: to each region, 100 by default.
    `repeat_writes_elsewhere`: a write that may have been done in one region may be tried in another, False by default.
    `transport`: what carries the requests, e.g. httpx.MockTransport in a test; it is closed with the client."""

    home: str | None
    token: str | Callable[[], str] | None
    host: str | None
    verify: Verify
    deadline_s: float
    max_connections: int
    repeat_writes_elsewhere: bool
    transport: httpx.AsyncBaseTransport | None


class AsyncRecords:
    """The calls. All raise KvClientError; `item` "" is the id's own value."""

    def __init__(self, engine: Engine, tokens: Tokens | None) -> None:
        self._engine = engine
        self._tokens = tokens

    async def get(
        self, namespace: str, id_: str, item: str = "", *, known: Record | None = None, **options: Unpack[ReadOptions]
    ) -> Record | None:
        """The record, None if there is none. `known`: one that was read before; it comes back, without having
        travelled again, if it is still the present one."""
        path = calls.record_path(namespace, id_, item)
        headers = {} if known is None else calls.unless(known.version)
        return await self._got(self._read("read", "GET", path, namespace, headers, options), known)

    async def _got(self, call: Call, known: Record | None) -> Record | None:
        answer = await self._send(call)
        if answers.is_absent(answer.response):
            return None
        if known is not None and answer.response.status_code == 304:
            return answers.unchanged(known, answer.response, answer.region)
        return answers.record(answers.expected(answer.response, 200), answer.region)

    async def head(self, namespace: str, id_: str, item: str = "", **options: Unpack[ReadOptions]) -> Head | None:
        """The record without its value, None if there is none."""
        path = calls.record_path(namespace, id_, item)
        answer = await self._send(self._read("read", "HEAD", path, namespace, {}, options))
        if answers.is_absent(answer.response):
            return None
        return answers.head(answers.expected(answer.response, 200), answer.region)

    async def exists(self, namespace: str, id_: str, item: str = "", **options: Unpack[ReadOptions]) -> bool:
        return await self.head(namespace, id_, item, **options) is not None

    async def put(
        self,
        namespace: str,
        id_: str,
        value: bytes,
        item: str = "",
        *,
        content_type: str = OCTETS,
        ttl_s: int | None = None,
        if_match: int | None = None,
        create_only: bool = False,
        **options: Unpack[WriteOptions],
    ) -> Written:
        """`ttl_s`: 0 is for ever, None as the namespace says. `if_match`: only over this version. `create_only`: only
        if there is no record. Both need a namespace of write mode `cas`."""
        headers = calls.write_headers(content_type, ttl_s=ttl_s, if_match=if_match, create_only=create_only)
        path = calls.record_path(namespace, id_, item)
        return await self._written("PUT", path, namespace, headers, calls.checked(value), options)

    async def patch(
        self,
        namespace: str,
        id_: str,
        patch: Mapping[str, Any],
        item: str = "",
        *,
        ttl_s: int | None = None,
        if_match: int | None = None,
        **options: Unpack[WriteOptions],
    ) -> Written:
        """Merges into the record's JSON (RFC 7396: None takes a member away), and creates it if there is none. Needs
        a namespace of write mode `cas`."""
        headers = calls.write_headers(calls.MERGE_PATCH, ttl_s=ttl_s, if_match=if_match)
        path = calls.record_path(namespace, id_, item)
        return await self._written("PATCH", path, namespace, headers, calls.patch_body(patch), options)

    async def delete(
        self, namespace: str, id_: str, item: str = "", *, if_match: int | None = None, **options: Unpack[WriteOptions]
    ) -> Written:
        """Deleting what is not there is no error."""
        headers = calls.write_headers(if_match=if_match)
        path = calls.record_path(namespace, id_, item)
        return await self._written("DELETE", path, namespace, headers, b"", options)

    async def items(
        self,
        namespace: str,
        id_: str,
        *,
        prefix: str = "",
        after: str = "",
        page_size: int = 100,
        **options: Unpack[ReadOptions],
    ) -> AsyncIterator[Item]:
        """The items of an id in the order of their UTF-8 bytes, read page by page (of at most 1,000). The deadline is
        that of each page."""
        path: str | None = calls.items_path(namespace, id_, prefix=prefix, after=after, limit=page_size)
        while path is not None:
            page, path = await self.page(namespace, id_, path, page_size, options)
            for each in page:
                yield each

    async def page(
        self, namespace: str, id_: str, path: str, page_size: int, options: ReadOptions
    ) -> tuple[list[Item], str | None]:
        """For `items`: one page, and the path of the next, None if it was the last."""
        answer = await self._send(self._read("items", "GET", path, namespace, {}, options))
        page, token = answers.items(answers.expected(answer.response, 200))
        return page, calls.items_path(namespace, id_, page=token, limit=page_size) if token else None

    async def get_many(
        self, namespace: str, keys: Iterable[str | Key], **options: Unpack[ReadOptions]
    ) -> list[Record | KvClientError | None]:
        """For each key, in order, what `get` would have returned or raised. A key is an id, or `Key(id, item)`."""
        named = [Key(key) if isinstance(key, str) else key for key in keys]
        path = calls.batch_path(namespace, "batchGet")
        call = self._read("batchGet", "POST", path, namespace, calls.typed(calls.JSON), options)
        batches = [(replace(call, body=body), size) for body, size in calls.batch_get_bodies(named)]
        results = await self._each(batches, lambda answer, _: answers.records_read(answer.response, answer.region))
        return [
            await self._alone(call, key) if answers.is_too_large(result) else result
            for key, result in zip(named, results, strict=True)
        ]

    async def _alone(self, batch: Call, key: Key) -> Record | KvClientError | None:
        """A record for which there was no room in the batch's answer."""
        try:
            path = calls.record_path(batch.namespace, key.id, key.item)
            return await self._got(replace(batch, kind="read", method="GET", path=path), None)
        except KvClientError as error:
            return error

    async def write_many(
        self, namespace: str, writes: Iterable[Write], **options: Unpack[WriteOptions]
    ) -> list[Written | KvClientError]:
        """For each write (`Put`, `Patch`, `Delete`), in order, what it would have returned or raised. They are done
        side by side, so each record may be written once only. Raises ValueError if one is there twice."""
        path = calls.batch_path(namespace, "batchWrite")
        call = self._write("batchWrite", "POST", path, namespace, calls.typed(calls.JSON), b"", options)
        batches = [
            (replace(call, body=body, key=f"{call.key}.{number}"), size)
            for number, (body, size) in enumerate(calls.batch_write_bodies(calls.distinct(writes)))
        ]
        return await self._each(batches, lambda answer, call: answers.records_written(answer.response, call.key or ""))

    async def _each(self, batches: list[tuple[Call, int]], read: Callable[[Answer, Call], list[_T]]) -> list[Any]:
        """The results of all; those of a batch that failed as a whole are its error."""
        room = asyncio.Semaphore(_BATCHES_AT_ONCE)

        async def one(call: Call, size: int) -> list[_T] | list[KvClientError]:
            async with room:
                try:
                    answer = await self._send(call)
                    answers.expected(answer.response, 200)
                    return read(answer, call)
                except KvClientError as error:
                    return [error] * size

        return [result for part in await asyncio.gather(*(one(*batch) for batch in batches)) for result in part]

    async def _written(
        self, method: str, path: str, namespace: str, headers: Headers, body: bytes, options: WriteOptions
    ) -> Written:
        answer = await self._send(self._write("write", method, path, namespace, headers, body, options))
        return answers.written(answers.expected(answer.response, 201, 204))

    def _read(self, kind: str, method: str, path: str, namespace: str, headers: Headers, options: ReadOptions) -> Call:
        _known(options, ReadOptions)
        asked = calls.asked(options.get("priority"), options.get("consistency"))
        return Call(kind, method, path, namespace, self._until_s(options), headers | asked)

    def _write(
        self, kind: str, method: str, path: str, namespace: str, headers: Headers, body: bytes, options: WriteOptions
    ) -> Call:
        _known(options, WriteOptions)
        key = options.get("idempotency_key") or uuid4().hex
        headers = headers | calls.asked(options.get("priority"))
        return Call(kind, method, path, namespace, self._until_s(options), headers, body, key)

    def _until_s(self, options: ReadOptions | WriteOptions) -> float:
        deadline_s = options.get("deadline_s", self._engine.deadline_s)
        return asyncio.get_running_loop().time() + positive(deadline_s)

    async def _send(self, call: Call) -> Answer:
        """Raises KvClientError if there is no answer that could be taken for one."""
        if self._tokens is None:
            return await self._engine.run(call)
        try:
            async with asyncio.timeout_at(call.until_s):
                carried = await self._tokens.begin()
        except TimeoutError:
            raise DeadlineExceeded(
                f"{call}: the session's other calls took all of the time; nothing was sent"
            ) from None
        token = None
        try:
            answer = await self._engine.run(replace(call, headers=call.headers | {"kv-session": carried}))
            token = answer.response.headers.get("kv-session")
        finally:
            self._tokens.end(carried, token)
        return answer


def _known(options: ReadOptions | WriteOptions, kind: Any) -> None:
    """Type checkers find a misspelt option; this is for those who have none."""
    if unknown := set(options) - set(kind.__annotations__):
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}; there are {', '.join(kind.__annotations__)}")


class AsyncSession(AsyncRecords):
    """Reads in it see what was written and read in it before. `str()` of it goes on with it elsewhere."""

    def __init__(self, engine: Engine, tokens: str) -> None:
        self._mine = Tokens(tokens)
        super().__init__(engine, self._mine)

    def __str__(self) -> str:
        return str(self._mine)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Nothing to give back: a session is what it knows."""


class AsyncClient(AsyncRecords):
    """The client for asyncio. `regions`: the address, or those of several regions by name, nearest first."""

    def __init__(self, regions: str | Mapping[str, str], **options: Unpack[ClientOptions]) -> None:
        """Raises ValueError; OSError if `verify` names a file that cannot be read."""
        super().__init__(Engine(regions, **options), None)

    def session(self, seen: str = "") -> AsyncSession:
        """`seen`: `str()` of a session that this one goes on with."""
        return AsyncSession(self._engine, seen)

    async def aclose(self) -> None:
        """Ends the connections. Calls that are under way fail."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.aclose()

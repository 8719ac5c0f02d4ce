"""Client: AsyncClient for threads.

It runs an AsyncClient on an event loop in a thread of its own. So there is one implementation, hedging works (it needs
two requests at once), and any number of threads share connections, budgets and latencies without a lock in them; it
costs a change of threads a call.
"""

import asyncio
import os
import weakref
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from threading import Lock, Thread, current_thread
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from kvclient import calls
from kvclient.client import AsyncClient, AsyncRecords, ClientOptions
from kvclient.errors import ClientClosed, KvClientError
from kvclient.records import OCTETS, Head, Item, Key, ReadOptions, Record, Write, WriteOptions, Written

T = TypeVar("T")


class _LoopThread:
    """An event loop in a thread, with a client that is closed at its end."""

    def __init__(self, client: AsyncClient) -> None:
        self._lock = Lock()
        self._is_closed = False
        self._process = os.getpid()
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = Thread(target=lambda: asyncio.run(_serve(client, started)), name="kvclient", daemon=True)
        self._thread.start()
        self._loop, self._stop = started.result()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            future = self._submitted(coroutine)
        except ClientClosed:
            coroutine.close()
            raise
        try:
            return future.result()
        except CancelledError:
            raise ClientClosed("the client was closed while the call was under way") from None
        finally:
            future.cancel()  # Ctrl-C ends the call, too

    def _submitted(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        if os.getpid() != self._process:
            raise ClientClosed(
                f"the client was made in process {self._process}, this is {os.getpid()}: "
                "threads and connections do not come along with a fork; make a client in each process"
            )
        with self._lock:
            if self._is_closed:
                raise ClientClosed("the client is closed; make a new one")
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """Ends what is under way, then the connections and the thread. Again is no error."""
        if os.getpid() != self._process:
            return
        with self._lock:
            if not self._is_closed:
                self._loop.call_soon_threadsafe(self._stop.set)
            self._is_closed = True
        if current_thread() is not self._thread:  # a garbage collection may run anywhere
            self._thread.join()


async def _serve(client: AsyncClient, started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    stop = asyncio.Event()
    async with client:
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


class Records:
    """The calls. What each does and raises is said at the method of the same name of `AsyncRecords`."""

    def __init__(self, thread: _LoopThread, there: AsyncRecords) -> None:
        self._thread = thread
        self._there = there

    def get(
        self, namespace: str, id_: str, item: str = "", *, known: Record | None = None, **options: Unpack[ReadOptions]
    ) -> Record | None:
        return self._thread.run(self._there.get(namespace, id_, item, known=known, **options))

    def head(self, namespace: str, id_: str, item: str = "", **options: Unpack[ReadOptions]) -> Head | None:
        return self._thread.run(self._there.head(namespace, id_, item, **options))

    def exists(self, namespace: str, id_: str, item: str = "", **options: Unpack[ReadOptions]) -> bool:
        return self._thread.run(self._there.exists(namespace, id_, item, **options))

    def put(
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
        return self._thread.run(
            self._there.put(
                namespace,
                id_,
                value,
                item,
                content_type=content_type,
                ttl_s=ttl_s,
                if_match=if_match,
                create_only=create_only,
                **options,
            )
        )

    def patch(
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
        return self._thread.run(
            self._there.patch(namespace, id_, patch, item, ttl_s=ttl_s, if_match=if_match, **options)
        )

    def delete(
        self, namespace: str, id_: str, item: str = "", *, if_match: int | None = None, **options: Unpack[WriteOptions]
    ) -> Written:
        return self._thread.run(self._there.delete(namespace, id_, item, if_match=if_match, **options))

    def items(
        self,
        namespace: str,
        id_: str,
        *,
        prefix: str = "",
        after: str = "",
        page_size: int = 100,
        **options: Unpack[ReadOptions],
    ) -> Iterator[Item]:
        path: str | None = calls.items_path(namespace, id_, prefix=prefix, after=after, limit=page_size)
        while path is not None:
            page, path = self._thread.run(self._there.page(namespace, id_, path, page_size, options))
            yield from page

    def get_many(
        self, namespace: str, keys: Iterable[str | Key], **options: Unpack[ReadOptions]
    ) -> list[Record | KvClientError | None]:
        return self._thread.run(self._there.get_many(namespace, keys, **options))

    def write_many(
        self, namespace: str, writes: Iterable[Write], **options: Unpack[WriteOptions]
    ) -> list[Written | KvClientError]:
        return self._thread.run(self._there.write_many(namespace, writes, **options))


class Session(Records):
    """Reads in it see what was written and read in it before. `str()` of it goes on with it elsewhere."""

    def __init__(self, client: "Client", seen: str) -> None:
        self._client = client  # kept, because its thread ends with it
        super().__init__(client._thread, client._client.session(seen))

    def __str__(self) -> str:
        return str(self._there)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Nothing to give back: a session is what it knows."""


class Client(Records):
    """The client for threads: any number may share it. `regions`: the address, or those of several regions by name,
    nearest first."""

    def __init__(self, regions: str | Mapping[str, str], **options: Unpack[ClientOptions]) -> None:
        """Raises ValueError; OSError if `verify` names a file that cannot be read."""
        self._client = AsyncClient(regions, **options)
        super().__init__(_LoopThread(self._client), self._client)
        weakref.finalize(self, self._thread.close)  # for those who forget to close it

    def session(self, seen: str = "") -> Session:
        """`seen`: `str()` of a session that this one goes on with."""
        return Session(self, seen)

    def close(self) -> None:
        """Ends what is under way with ClientClosed, and the connections. Again is no error."""
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

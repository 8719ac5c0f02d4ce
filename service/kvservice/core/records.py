"""The use cases, which `kvservice.http` calls: read, write, patch and delete a record, list the items of an id.

Deadlines: what is not done by then is for the caller to cut; a write that has reached the store goes on, and is
published. Only what can be answered better than by cutting ends by itself shortly before: a page, a wait for a session.
"""

from collections.abc import Callable

from kvservice.core.filling import Filling
from kvservice.core.namespaces import Namespaces
from kvservice.core.orders import Method, Order
from kvservice.core.ports import Clock, Key, Store
from kvservice.core.ranges import Listed, Ranges
from kvservice.core.reads import Found, Reads
from kvservice.core.request import Context
from kvservice.core.suspects import Suspects
from kvservice.core.writes import Writes, Written

__all__ = ["Found", "Listed", "Records", "Written"]


class Records:
    """`random`: 0 <= x < 1. Errors of all methods: Unavailable, UnknownNamespace, DeadlineExceeded."""

    def __init__(
        self,
        *,
        store: Store,
        filling: Filling,
        suspects: Suspects,
        clock: Clock,
        namespaces: Namespaces,
        region: str,
        max_value_bytes: int,
        random: Callable[[], float],
    ) -> None:
        self._reads = Reads(
            filling=filling,
            clock=clock,
            namespaces=namespaces,
            region=region,
            replicates=store.replicates,
            random=random,
        )
        self._ranges = Ranges(store=store, clock=clock, namespaces=namespaces, random=random)
        self._writes = Writes(
            store=store,
            filling=filling,
            suspects=suspects,
            clock=clock,
            namespaces=namespaces,
            region=region,
            max_value_bytes=max_value_bytes,
        )

    async def read(self, key: Key, context: Context) -> Found | None:
        """The record, None if there is none (any more); `context.session.is_satisfied` tells of that, too. Errors also:
        SessionNotSatisfied."""
        return await self._reads.read(key, context)

    async def items(self, namespace: str, id_: str, *, prefix: str, after: str, limit: int, context: Context) -> Listed:
        """At most `limit` records, and 1 MiB of values unless the first is larger, of those after `after`. Errors also:
        SessionNotSatisfied."""
        return await self._ranges.items(namespace, id_, prefix=prefix, after=after, limit=limit, context=context)

    async def write(self, key: Key, payload: bytes, content_type: str, context: Context) -> Written:
        """Errors also: ValueTooLarge, PreconditionFailed, WrongWriteMode, NotHome, IdempotencyMismatch, InvalidRequest
        (a condition that cannot be read), OutcomeUnknown, ClockSkew."""
        return await self._writes.write(Order(Method.PUT, key, payload, content_type), context)

    async def patch(self, key: Key, patch: bytes, context: Context) -> Written:
        """Merges JSON into what is there (RFC 7396), or makes the record from it. The content type stays, so does the
        expiry unless the request names a time to live. Errors also: those of `write`, NotPatchable."""
        return await self._writes.write(Order(Method.PATCH, key, patch), context)

    async def delete(self, key: Key, context: Context) -> Written:
        """Leaves a tombstone. Deleting what is not there is no error, and writes nothing. Errors as `write`."""
        return await self._writes.write(Order(Method.DELETE, key), context)

    async def close(self) -> None:
        """Waits for writes under way. To be called before filling, cache and store are closed."""
        await self._writes.close()

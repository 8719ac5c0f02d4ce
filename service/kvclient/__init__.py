"""Python client of the service: regions with failover, sessions, hedging, a retry budget, deadlines.

    from kvclient import Client

    with Client("http://127.0.0.1:8080") as kv:
        kv.put("demo", "hello", b"world")
        print(kv.get("demo", "hello").value)

docs/client.md has the rest. Needs httpx only.
"""

from kvclient.client import AsyncClient, AsyncSession, ClientOptions
from kvclient.errors import (
    ClientClosed,
    DeadlineExceeded,
    Forbidden,
    KvClientError,
    NotHome,
    OutcomeUnknown,
    PreconditionFailed,
    RateLimited,
    Rejected,
    SessionNotSatisfied,
    Unauthenticated,
    Unavailable,
)
from kvclient.records import Delete, Head, Item, Key, Patch, Put, ReadOptions, Record, Write, WriteOptions, Written
from kvclient.sync import Client, Session

__all__ = [
    "AsyncClient",
    "AsyncSession",
    "Client",
    "ClientClosed",
    "ClientOptions",
    "DeadlineExceeded",
    "Delete",
    "Forbidden",
    "Head",
    "Item",
    "Key",
    "KvClientError",
    "NotHome",
    "OutcomeUnknown",
    "Patch",
    "PreconditionFailed",
    "Put",
    "RateLimited",
    "ReadOptions",
    "Record",
    "Rejected",
    "Session",
    "SessionNotSatisfied",
    "Unauthenticated",
    "Unavailable",
    "Write",
    "WriteOptions",
    "Written",
]

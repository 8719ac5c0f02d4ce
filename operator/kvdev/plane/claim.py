"""A cluster's claim on its name and its slot, machine-wide, without files.

A claim is a bound abstract socket that every part of the cluster inherits: the kernel frees it with the last of
them, so none is ever stale, and it holds as far as loopback addresses reach (one network namespace).
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from kvdev.errors import KvdevError
from kvdev.state import API_PORT, SLOTS

POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The slot, and the descriptors that parts must inherit to hold it."""

    slot: int
    descriptors: tuple[int, ...]


@asynccontextmanager
async def turn(name: str) -> AsyncIterator[None]:
    """Alone among all that would start or end this cluster; waits for whoever is at it."""
    while not (held := _bind(f"turn-{name}")):  # noqa: ASYNC110 the other is another process
        await asyncio.sleep(POLL_S)
    with held:
        yield


@contextmanager
def name_claimed(name: str) -> Iterator[socket.socket | None]:
    """Holds the name inside; None when a part of a living cluster holds it."""
    with ExitStack() as stack:
        held = _bind(f"name-{name}")
        yield stack.enter_context(held) if held else None


@contextmanager
def claimed(name: str) -> Iterator[Claim]:
    """Claims the name and the lowest free slot; inside, parts are started. KvdevError when there is none to claim."""
    with name_claimed(name) as by_name, ExitStack() as stack:
        if not by_name:
            raise KvdevError(
                f"a cluster named {name} already runs on this machine, started with another state folder or by "
                "another user; choose another --name"
            )
        for slot in SLOTS:
            if by_slot := _bind(f"slot-{slot}"):
                stack.enter_context(by_slot)
                if _is_free(f"127.{16 + slot}.0.1", API_PORT):
                    yield Claim(slot=slot, descriptors=(by_name.fileno(), by_slot.fileno()))
                    return
        raise KvdevError(
            f"none of the {len(SLOTS)} slots is free: stop a cluster with `kvctl dev down --name NAME`, "
            f"or the program that listens on port {API_PORT} of all addresses"
        )


def _bind(what: str) -> socket.socket | None:
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0kvdev-{what}")
    except OSError:
        holder.close()
        return None
    return holder


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True

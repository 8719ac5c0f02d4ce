"""What the stores have in common: how many operations may be under way, and how they are timed and counted."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from kvservice.errors import OutcomeUnknown, StoreBusy, Unavailable
from kvservice.telemetry import Telemetry

IN_FLIGHT = 1024  # operations under way or waiting; beyond it they are refused


class Bounded:
    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def operation(self, op: str) -> Iterator[None]:
        """Times what is inside, and counts what it raises as failed. Raises StoreBusy."""
        try:
            if self._under_way >= IN_FLIGHT:
                raise StoreBusy(f"{IN_FLIGHT} operations wait for the store already; send less, or try again later")
            self._under_way += 1
            self._idle.clear()
            try:
                with self._telemetry.store_op(op):
                    yield
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()
        except (Unavailable, OutcomeUnknown):
            self._telemetry.store_error(op)
            raise

    async def idle(self) -> None:
        """Waits until nothing is under way."""
        await self._idle.wait()

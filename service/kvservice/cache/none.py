"""No cache: every read goes to the store."""

from kvservice.core.ports import Copy, Key


class NoCache:
    async def get(self, key: Key) -> Copy | None:  # noqa: ARG002
        return None

    async def lease(self, key: Key) -> bool:  # noqa: ARG002
        return True

    async def offer(self, key: Key, envelope: bytes, *, cost_s: float = 0.0, announce: bool = False) -> None:
        pass

    async def now_us(self) -> int | None:
        return None

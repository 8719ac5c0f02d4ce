"""No cache: every read goes to the store."""

from kvservice.core.ports import Key


class NoCache:
    async def get(self, key: Key) -> None:  # noqa: ARG002
        return None

    async def offer(self, key: Key, envelope: bytes) -> None:
        pass

"""A session's tokens: what it has seen, as the service told it. Nothing in here can read them.

The token of an answer stands for all that its request carried, and what it saw; so it takes their place. Answers that
were under way together leave several, which are sent together. The service looks at TOKENS of them, and none may be
dropped: so no request is begun while the answers to come could make them more. A request that is alone may always
begin, because it carries them all and leaves one.
"""

import asyncio

TOKENS = 8


class Tokens:
    def __init__(self, tokens: str = "") -> None:
        """`tokens`: as `str()` of another gives them, "" to begin."""
        self._held = tuple(token.strip() for token in tokens.split(",") if token.strip())
        self._under_way = 0
        self._ended = asyncio.Event()

    def __str__(self) -> str:
        return ",".join(self._held)

    async def begin(self) -> str:
        """-> what the request carries. Waits until it may; `end` must follow."""
        while self._under_way and len(self._held) + self._under_way >= TOKENS:
            self._ended.clear()
            await self._ended.wait()
        self._under_way += 1
        return str(self)

    def end(self, carried: str, token: str | None) -> None:
        """`carried`: from `begin`. `token`: the answer's, None if there was no answer, or none in it."""
        self._under_way -= 1
        self._ended.set()
        if token:
            replaced = {token, *carried.split(",")}
            self._held = (*(held for held in self._held if held not in replaced), token)

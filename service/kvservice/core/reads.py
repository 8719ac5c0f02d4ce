"""Reads of one record: how old an answer may be, and what is said of it. `kvservice.core.records` is the door."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, assert_never

from kvservice.core.envelope import Envelope, decode, version_of
from kvservice.core.filling import Fetched, Filling
from kvservice.core.namespaces import Elsewhere, Namespaces
from kvservice.core.ports import Clock, Copy, Key
from kvservice.core.request import Consistency, Context
from kvservice.errors import SessionNotSatisfied, StoreUnavailable

POLL_S = 0.02  # between two looks at a store that has not yet got what the session saw elsewhere


class Found(NamedTuple):
    """`age_s`: since the store was asked; None: it was asked for this very request. `stale_s`: how long it has been
    stale; None: it is not. `satisfied`: it is not older than what the session has seen."""

    envelope: Envelope
    age_s: float | None
    stale_s: float | None
    satisfied: bool


class Reads:
    """`replicates`: whether the store itself carries writes between regions, so that a cache may be ahead of it."""

    def __init__(
        self,
        *,
        filling: Filling,
        clock: Clock,
        namespaces: Namespaces,
        region: str,
        replicates: bool,
        random: Callable[[], float],
    ) -> None:
        self._filling = filling
        self._clock = clock
        self._namespaces = namespaces
        self._region = region
        self._replicates = replicates
        self._random = random

    async def read(self, key: Key, context: Context) -> Found | None:
        elsewhere = self._namespaces.of(key.namespace).session_elsewhere
        context.deadline.check()
        fetched, satisfied = await self._fetched(key, elsewhere, context)
        envelope = decode(fetched.envelope)
        session = context.session
        if session.is_carried:
            is_stored = fetched.age_s is None or not self._replicates or envelope.region == self._region
            is_proven = satisfied and context.consistency is not Consistency.ONE
            session.saw(key, envelope.version, origin=None if is_stored else envelope.region, is_proven=is_proven)
        session.is_satisfied &= satisfied
        if envelope.is_live(self._clock.now_us()):
            return Found(envelope, fetched.age_s, fetched.stale_s, satisfied)
        if fetched.stale_s is not None:  # "there is none" could not be marked as stale
            raise StoreUnavailable(
                "the store fails, and only a stale copy says that there is no such record; try again"
            )
        return None

    async def _fetched(self, key: Key, elsewhere: Elsewhere, context: Context) -> tuple[Fetched, bool]:
        """-> the envelope, and whether it satisfies the session."""
        session = context.session
        match context.consistency:
            case Consistency.ONE:
                return await self._filling.read(key, allows=lambda _, __: True), True
            case Consistency.QUORUM:
                fetched = await self._filling.read_store(key)
                return fetched, session.allows_stored(key, version_of(fetched.envelope))
            case Consistency.SESSION:
                return await self._as_seen(key, elsewhere, context)
            case _:
                assert_never(context.consistency)

    async def _as_seen(self, key: Key, elsewhere: Elsewhere, context: Context) -> tuple[Fetched, bool]:
        session = context.session

        def allows(copy: Copy, version: int) -> bool:
            return session.allows_copy(key, copy, version)

        fetched = await self._filling.read(key, allows=allows)
        version = version_of(fetched.envelope)
        if fetched.age_s is not None or session.allows_stored(key, version):
            return fetched, True
        match elsewhere:
            case Elsewhere.MARK:
                return fetched, False
            case Elsewhere.WAIT:
                return await self._awaited(key, version, context), True
            case Elsewhere.REFUSE:
                raise _behind(key, version)
            case _:
                assert_never(elsewhere)

    async def _awaited(self, key: Key, version: int, context: Context) -> Fetched:
        """What the session saw, once it is here. Raises SessionNotSatisfied shortly before the deadline."""
        try:
            async with asyncio.timeout_at(context.deadline.answer_by_s()):
                while True:
                    await asyncio.sleep(POLL_S * (0.5 + self._random()))
                    fetched = await self._filling.read_store(key)
                    if context.session.allows_stored(key, version_of(fetched.envelope)):
                        return fetched
        except TimeoutError:
            raise _behind(key, version) from None


def _behind(key: Key, version: int) -> SessionNotSatisfied:
    here = f"version {version}" if version else "no version"
    return SessionNotSatisfied(
        f"this region has {here} of {key.id!r} yet, older than what the session has seen in another; "
        f"try again, ask there, or take what is here with KV-Consistency: quorum"
    )

"""Orders: what a client wants written, and what becomes of it, given what is there. Pure: threads of a store ask."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from kvservice.core import idempotency, patch
from kvservice.core.conflicts import seen_over
from kvservice.core.envelope import NEVER_WRITTEN, Envelope
from kvservice.core.idempotency import Outcome, Receipt
from kvservice.core.ports import Key
from kvservice.core.request import Context
from kvservice.errors import ValueTooLarge

RETENTION_S = 864_000  # of tombstones: ten days, the longest time that a region may be cut off


class Method(StrEnum):
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Order:
    """`payload`: of a PATCH as it was sent."""

    method: Method
    key: Key
    payload: bytes = b""
    content_type: str = ""


class Judge:
    """Of one order. `ttl_s`: the namespace's; `max_bytes`: of a value. Raises ValueTooLarge, InvalidRequest."""

    def __init__(self, order: Order, context: Context, *, region: str, ttl_s: int, max_bytes: int) -> None:
        self.order = order
        self.context = context
        self.fingerprint = idempotency.fingerprint(
            method=order.method,
            item=order.key.item,
            payload=order.payload,
            content_type=order.content_type,
            ttl_s=context.ttl_s,
            conditions=context.conditions,
        )
        self._region = region
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._highest = context.session.highest(order.key)
        self._within_limit(order.payload)
        self._patch = patch.parsed(order.payload) if order.method is Method.PATCH else None

    def receipt(self, present: Envelope | None, issue: Callable[[int], int], now_us: int) -> Receipt:
        """What becomes of it. `issue`: makes a version above the given one. Raises InvalidRequest, ClockSkew."""
        there = NEVER_WRITTEN if present is None else present.version
        live = present if present is not None and present.is_live(now_us) else None
        if not self.context.conditions.admit(None if live is None else live.version):
            return self._unwritten(Outcome.FAILED, NEVER_WRITTEN if live is None else live.version)
        is_delete = self.order.method is Method.DELETE
        if is_delete and live is None and there >= self._highest:  # else it is to die here that came not here yet
            return self._unwritten(Outcome.NOTHING, there)
        outcome = Outcome.DELETED if is_delete else Outcome.CREATED if live is None else Outcome.REPLACED
        made = Envelope(
            version=issue(max(there, self._highest)),
            region=self._region,
            content_type="",
            payload=b"",
            expires_us=self._expires_us(live, now_us),
            tombstone=is_delete,
            seen=seen_over(present, self._region),
        )
        return Receipt(self.fingerprint, outcome, made)

    def envelope(self, receipt: Receipt, present: Envelope | None) -> Envelope:
        """What is to be there, by a receipt of this order. `present` counts for a PATCH only. Raises NotPatchable,
        ValueTooLarge, InvalidRequest."""
        made, order = receipt.envelope, self.order
        payload, content_type = order.payload, order.content_type
        if order.method is Method.PATCH:
            if present is None or receipt.outcome is Outcome.CREATED:
                payload, content_type = patch.made(None, self._patch), patch.JSON_TYPE
            else:
                payload = patch.patched(present.payload, present.content_type, self._patch)
                content_type = present.content_type
            self._within_limit(payload)
        return Envelope(made.version, made.region, content_type, payload, made.expires_us, made.tombstone, made.seen)

    def _unwritten(self, outcome: Outcome, version: int) -> Receipt:
        return Receipt(self.fingerprint, outcome, Envelope(version, self._region, "", b""))

    def _expires_us(self, live: Envelope | None, now_us: int) -> int:
        ttl_s = self._ttl_s if self.context.ttl_s is None else self.context.ttl_s
        match self.order.method:
            case Method.DELETE:
                ttl_s = RETENTION_S
            case Method.PATCH if live is not None and self.context.ttl_s is None:
                return live.expires_us  # what a patch does not name stays
        return now_us + ttl_s * 1_000_000 if ttl_s else 0

    def _within_limit(self, payload: bytes) -> None:
        if len(payload) > self._max_bytes:
            raise ValueTooLarge(f"the value has {len(payload)} bytes, at most {self._max_bytes} are allowed; split it")

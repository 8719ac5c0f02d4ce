"""Records what a client sees of real pods, over HTTP, as operations of a history."""

import random
import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from history.model import ABSENT, Consistency, Kind, Operation, Outcome, Record

UNSETTLED = (500, 502, 504)  # the write may have been done


class Recorder:
    """One client with one session: a request at a time, each to a pod drawn by `chance`. Appends to `history`."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        history: list[Operation],
        name: str,
        chance: random.Random,
        *,
        namespace: str,
    ) -> None:
        self._client = client
        self._history = history
        self._name = name
        self._chance = chance
        self._namespace = namespace
        self._session = ""
        self._values = 0
        self.region = ""
        self.urls: Sequence[str] = ()
        self.codes: list[int] = []

    def at(self, region: str, urls: Sequence[str]) -> "Recorder":
        """From now on, requests go there."""
        self.region, self.urls = region, urls
        return self

    async def get(self, key: str, consistency: Consistency = Consistency.SESSION) -> Operation:
        begin = time.monotonic_ns()
        answer = await self._send("GET", key, headers={"kv-consistency": consistency})
        found = answer is not None and answer.status_code == 200
        known = found or (answer is not None and answer.status_code == 404)
        return self._note(
            Kind.READ,
            key,
            begin,
            Outcome.OK if known else Outcome.FAILED,
            version=_version(answer) if found else None,
            value=answer.text if answer is not None and found else None,
            consistency=consistency,
            satisfied=answer is None or answer.headers.get("kv-session-satisfied") != "no",
        )

    async def put(
        self, key: str, *, value: str | None = None, token: str | None = None, expects: int | None = None
    ) -> Operation:
        """`value`: of the attempt that this one repeats; a value of its own by default."""
        self._values += value is None
        value = value or f"{self._name}-{self._values}"
        return await self._change(Kind.WRITE, key, value, token, expects)

    async def delete(self, key: str, *, token: str | None = None, expects: int | None = None) -> Operation:
        return await self._change(Kind.DELETE, key, None, token, expects)

    async def _change(
        self, kind: Kind, key: str, value: str | None, token: str | None, expects: int | None
    ) -> Operation:
        headers = {} if token is None else {"idempotency-key": token}
        if expects is not None:
            headers |= {"if-none-match": "*"} if expects == ABSENT else {"if-match": f'"{expects}"'}
        begin = time.monotonic_ns()
        method = "PUT" if kind is Kind.WRITE else "DELETE"
        answer = await self._send(method, key, headers=headers, content=value)
        outcome = _outcome(answer)
        return self._note(
            kind,
            key,
            begin,
            outcome,
            version=_version(answer) if outcome is Outcome.OK else None,
            value=value,
            token=token,
            expects=expects,
            created=answer is not None and answer.status_code == 201,
        )

    async def _send(self, method: str, key: str, **request: Any) -> httpx.Response | None:
        """None: the connection broke."""
        request["headers"] |= {"kv-session": self._session}
        url = f"{self._chance.choice(self.urls)}/v1/kv/{self._namespace}/{quote(key, safe='')}"
        try:
            answer = await self._client.request(method, url, **request)
        except httpx.TransportError:
            self.codes.append(0)
            return None
        self._session = answer.headers.get("kv-session", self._session)
        self.codes.append(answer.status_code)
        return answer

    def _note(self, kind: Kind, key: str, begin: int, outcome: Outcome, **seen: Any) -> Operation:
        operation = Operation(self._name, self.region, kind, key, begin, time.monotonic_ns(), outcome, **seen)
        self._history.append(operation)
        return operation


async def contents(client: httpx.AsyncClient, url: str, namespace: str, keys: Iterable[str]) -> dict[str, Record]:
    """What a region holds, read at quorum."""
    held = {}
    for key in keys:
        path = f"{url}/v1/kv/{namespace}/{quote(key, safe='')}"
        answer = await client.get(path, headers={"kv-consistency": Consistency.QUORUM})
        if answer.status_code != 404:
            answer.raise_for_status()
            held[key] = Record(_version(answer) or 0, answer.text)
    return held


def _version(answer: httpx.Response | None) -> int | None:
    tag = "" if answer is None else answer.headers.get("etag", "")
    return int(tag.strip('"')) if tag else None


def _outcome(answer: httpx.Response | None) -> Outcome:
    if answer is None or answer.status_code in UNSETTLED:
        return Outcome.UNKNOWN
    return Outcome.OK if answer.is_success else Outcome.FAILED

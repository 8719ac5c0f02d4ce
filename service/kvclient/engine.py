"""Does what `attempts` decides: sends requests through httpx, hedges them, waits. The only part that does I/O."""

import asyncio
import math
import ssl
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import httpx

from kvclient.answers import Fate, Reply
from kvclient.attempts import Answer, Attempts, Send
from kvclient.budget import Latencies, hedge_budget, retry_budget
from kvclient.calls import Call
from kvclient.errors import ClientClosed
from kvclient.regions import Regions

CONNECT_S = 1.0  # a region that takes longer to answer a connection is passed over
ONLY = "default"  # the name of the region of a client that was given one address
_WAY_BACK_S = 0.05  # of a deadline, that the service's answer may need to get here
_MAX_DEADLINE_MS = 60_000

Verify = bool | str | Path | ssl.SSLContext


class Engine:
    def __init__(
        self,
        regions: str | Mapping[str, str],
        *,
        home: str | None = None,
        token: str | Callable[[], str] | None = None,
        host: str | None = None,
        verify: Verify = True,
        deadline_s: float = 10.0,
        max_connections: int = 100,
        repeat_writes_elsewhere: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """See `ClientOptions`. Raises ValueError; OSError if `verify` names a file that cannot be read."""
        self._urls = _checked(regions)
        self._regions = Regions(_nearest_first(self._urls, home))
        self._token = token
        self._headers = {} if host is None else {"host": host}
        self._may_repeat_elsewhere = repeat_writes_elsewhere
        self.deadline_s = positive(deadline_s)
        self._retries, self._hedges = retry_budget(), hedge_budget()
        self._latencies: defaultdict[tuple[str, str], Latencies] = defaultdict(Latencies)
        self._random = Random()  # noqa: S311 - spreads retries
        limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
        context = _trust(verify, any(url.startswith("https:") for url in self._urls.values()))
        self._clients = {
            name: httpx.AsyncClient(verify=context, limits=limits, transport=transport) for name in self._urls
        }
        self._is_closed = False

    async def close(self) -> None:
        self._is_closed = True
        for client in self._clients.values():
            await client.aclose()

    async def run(self, call: Call) -> Answer:
        """Raises KvClientError, but leaves it to the caller what the answer's status means."""
        if self._is_closed:
            raise ClientClosed("the client is closed; make a new one")
        now_s = asyncio.get_running_loop().time
        attempts = Attempts(call, self._regions, self._retries, now_s, self._random.random, self._may_repeat_elsewhere)
        steps = attempts.steps()
        self._hedges.request()
        step = next(steps)
        while True:
            if isinstance(step, Send):
                reply = await self._sent(call, step)
            else:
                await asyncio.sleep(step.seconds)
            try:
                step = steps.send(reply)
            except StopIteration as end:
                answer: Answer = end.value
                return answer

    async def _sent(self, call: Call, send: Send) -> Reply:
        """One attempt: the request and, if it takes long, a copy of it. What has not answered in the end is ended."""
        copies: set[asyncio.Task[Reply]] = set()
        try:
            async with asyncio.timeout_at(send.until_s):
                return await self._first(call, send, copies)
        except TimeoutError:
            said = f"no answer from {send.region} in the time that it was given"
            return Reply(Fate.UNCLEAR, said=said, is_late=True, copies=len(copies))
        finally:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)

    async def _first(self, call: Call, send: Send, copies: set[asyncio.Task[Reply]]) -> Reply:
        """The first final answer; without one, the least certain reply, because that is what is known of the whole."""
        loop = asyncio.get_running_loop()
        begun_s, latencies = loop.time(), self._latencies[send.region, call.kind]
        copies.add(asyncio.create_task(self._copy(call, send)))
        done, pending = await asyncio.wait(copies, timeout=latencies.p95())
        if not done and self._hedges.take():
            copies.add(asyncio.create_task(self._copy(call, send)))
            pending = set(copies)
        replies = [task.result() for task in done]
        while pending and all(reply.fate is not Fate.DONE for reply in replies):
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            replies += [task.result() for task in done]
        final = [reply for reply in replies if reply.fate is Fate.DONE]
        if final:
            latencies.add(loop.time() - begun_s)
        return _of_copies(final[0] if final else max(replies, key=lambda reply: reply.fate), len(copies))

    async def _copy(self, call: Call, send: Send) -> Reply:
        client = self._clients[send.region]
        left_s = max(0.001, send.until_s - asyncio.get_running_loop().time())
        # Thirds: to get a connection, its TCP, its TLS. Whoever fails there says so before the attempt's time is over.
        timeout = httpx.Timeout(None, pool=left_s / 3, connect=min(CONNECT_S, left_s / 3))
        headers = {**self._headers, **self._authorization(), **call.headers, "kv-deadline-ms": _deadline_ms(left_s)}
        if call.key is not None:
            headers["idempotency-key"] = call.key
        request = client.build_request(
            call.method,
            self._urls[send.region] + call.path,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            content=call.body or None,
            timeout=timeout,
        )
        try:
            response = await client.send(request)
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol) as error:
            raise ValueError(f"{call} cannot be sent: {error}") from None
        except httpx.PoolTimeout:
            return Reply(Fate.CROWDED, said=f"all connections to {send.region} are busy")
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return Reply(Fate.NOT_SENT, said=f"no connection to {send.region}: {_reason(error)}")
        except httpx.TransportError as error:
            return Reply(Fate.UNCLEAR, said=f"the connection to {send.region} broke: {_reason(error)}")
        response.headers.encoding = "iso-8859-1"
        return Reply.of(response)

    def _authorization(self) -> dict[str, str]:
        token = self._token() if callable(self._token) else self._token
        return {} if token is None else {"authorization": f"Bearer {token}"}


def _of_copies(reply: Reply, copies: int) -> Reply:
    return Reply(reply.fate, reply.response, reply.said, reply.is_late, copies)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _deadline_ms(left_s: float) -> str:
    to_answer_s = left_s - min(_WAY_BACK_S, left_s / 10)
    return str(min(_MAX_DEADLINE_MS, max(1, int(to_answer_s * 1000))))


def positive(deadline_s: float) -> float:
    if not 0 < deadline_s < math.inf:
        raise ValueError(f"deadline_s is {deadline_s}, but must be a number of seconds above 0")
    return deadline_s


def _checked(regions: str | Mapping[str, str]) -> dict[str, str]:
    urls = {ONLY: regions} if isinstance(regions, str) else dict(regions)
    wrong = [url for url in urls.values() if not url.startswith(("http://", "https://"))]
    if wrong or not urls:
        raise ValueError(f"expected http:// or https:// addresses of one or more regions, got {wrong or 'none'}")
    return {name: url.rstrip("/") for name, url in urls.items()}


def _nearest_first(urls: Mapping[str, str], home: str | None) -> list[str]:
    if home is None:
        return list(urls)
    if home not in urls:
        raise ValueError(f"home is {home!r}, but the regions are {', '.join(urls)}")
    return [home, *(name for name in urls if name != home)]


def _trust(verify: Verify, is_used: bool) -> ssl.SSLContext | bool:
    """One context for all regions: making one takes 20 ms."""
    if isinstance(verify, str | Path):
        return ssl.create_default_context(cafile=str(verify))
    if verify is True:
        return httpx.create_ssl_context() if is_used else False
    return verify

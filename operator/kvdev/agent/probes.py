"""Probes: how a container is asked (http, tcp, exec), how often, and when an answer counts.

Kubelet's rules, with one liberty: until the first success a readiness probe is asked several times a second, whatever
its period says, so that a fresh pod is ready when it is ready. Before that a failure has no effect, so nothing is lost.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from kvdev.errors import KvdevError

Object = dict[str, Any]
Check = Callable[[], Awaitable[str]]  # "" for success, else what was seen

EAGER_PERIOD_S = 0.25
DEFAULT_PERIOD_S, DEFAULT_TIMEOUT_S, DEFAULT_FAILURES, DEFAULT_SUCCESSES = 10, 1, 3, 1


@dataclass(frozen=True)
class Target:
    """Where a container's probes go: its address, its named ports, and how a program is run in it (-> exit code)."""

    address: str
    ports: Mapping[str, int]
    run: Callable[[Sequence[str]], Awaitable[int]]
    http: aiohttp.ClientSession


@dataclass
class Threshold:
    """Counts equal answers in a row; `feed` is True when they are enough to say something new."""

    successes: int
    failures: int
    verdict: bool | None = None
    _last: bool | None = None
    _run: int = 0

    def feed(self, success: bool) -> bool:
        self._run = self._run + 1 if success == self._last else 1
        self._last = success
        if success == self.verdict or self._run < (self.successes if success else self.failures):
            return False
        self.verdict = success
        return True


async def verdicts(probe: Object, check: Check, *, eager: bool = False) -> AsyncIterator[tuple[bool, str]]:
    """(success, what was seen) each time that enough answers in a row say something new. Never ends."""
    threshold = Threshold(
        probe.get("successThreshold", DEFAULT_SUCCESSES), probe.get("failureThreshold", DEFAULT_FAILURES)
    )
    period_s, timeout_s = probe.get("periodSeconds", DEFAULT_PERIOD_S), probe.get("timeoutSeconds", DEFAULT_TIMEOUT_S)
    await asyncio.sleep(probe.get("initialDelaySeconds", 0))
    while True:
        seen = await within(check, timeout_s)
        eager = eager and bool(seen)
        if threshold.feed(not seen):
            yield not seen, seen
        await asyncio.sleep(min(period_s, EAGER_PERIOD_S) if eager else period_s)


async def within(check: Check, timeout_s: float) -> str:
    """The check's answer; one that takes longer is a failure."""
    try:
        async with asyncio.timeout(timeout_s):
            return await check()
    except TimeoutError:
        return f"no answer within {timeout_s} s"


def check_of(handler: Object, target: Target) -> Check:
    """The check that a probe or a preStop hook describes. Kinds that are not supported always fail and say so."""
    if "httpGet" in handler:
        return lambda: _http(handler["httpGet"], target)
    if "tcpSocket" in handler:
        return lambda: _tcp(handler["tcpSocket"], target)
    if "exec" in handler:
        return lambda: _exec(handler["exec"]["command"], target)
    return _unsupported


async def _http(get: Object, target: Target) -> str:
    host = get.get("host") or target.address
    url = f"{get.get('scheme', 'HTTP').lower()}://{host}:{_port(get, target)}{get.get('path') or '/'}"
    headers = {h["name"]: h["value"] for h in get.get("httpHeaders") or []}
    try:
        async with target.http.get(url, headers=headers, allow_redirects=False, ssl=False) as response:
            return "" if 200 <= response.status < 400 else f"GET {url} answered {response.status}"
    except (aiohttp.ClientError, OSError, ValueError) as e:
        return f"GET {url}: {e}"


async def _tcp(socket: Object, target: Target) -> str:
    host, port = socket.get("host") or target.address, _port(socket, target)
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as e:
        return f"connect to {host}:{port}: {e}"
    writer.close()
    return ""


async def _exec(command: Sequence[str], target: Target) -> str:
    try:
        code = await target.run(command)
    except (OSError, KvdevError) as e:
        return f"{' '.join(command)}: {e}"
    return "" if code == 0 else f"{' '.join(command)} exited with {code}"


async def _unsupported() -> str:
    return "this kind of probe is not supported here: use httpGet, tcpSocket or exec"


def _port(handler: Object, target: Target) -> int:
    """The port by number or name; 0, which nobody listens on, for an unknown name."""
    port = handler["port"]
    return port if isinstance(port, int) else target.ports.get(port, 0)

"""What `kubectl logs` asks a node for: `/containerLogs/<namespace>/<pod>/<container>` over TLS.

`timestamps`, `sinceSeconds` and `sinceTime` have no effect: output is kept as the process wrote it, without times.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from aiohttp import web

from kvdev.agent.pods import Output, Pods

Object = dict[str, Any]

FOLLOW_S = 0.1
CHUNK_BYTES = 64 * 1024


class Logs:
    """One server at all nodes' addresses; `objects` are the live pods by namespace and name; `pki` is the cluster's."""

    def __init__(self, pods: Pods, objects: Mapping[tuple[str, str], Object], pki: Path) -> None:
        self._pods, self._objects, self._pki = pods, objects, pki

    async def run(self, addresses: Sequence[str], port: int) -> None:
        application = web.Application()
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        tls = _tls(self._pki)
        try:
            for address in addresses:
                await web.TCPSite(runner, address, port, ssl_context=tls).start()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        namespace, name, container = (request.match_info[part] for part in ("namespace", "pod", "container"))
        pod = self._objects.get((namespace, name))
        if pod is None:
            return web.Response(status=404, text=f'pod "{name}" does not exist')
        previous = request.query.get("previous") == "true"
        output = self._pods.output(pod, container, previous=previous)
        if output is None:
            which = "previous terminated container" if previous else "container"
            text = f'{which} "{container}" in pod "{name}" has no log: it has not been started'
            return web.Response(status=400, text=text)
        return await _send(request, output)


async def _send(request: web.Request, output: Output) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(request)
    left = _number(request, "limitBytes")
    with output.path.open("rb") as file:
        file.seek(tail_offset(file, _number(request, "tailLines")))
        while left is None or left > 0:
            growing = output.is_growing and request.query.get("follow") == "true"  # asked before the last read
            chunk = file.read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES))
            if chunk:
                await response.write(chunk)
                left = None if left is None else left - len(chunk)
            elif growing:
                await asyncio.sleep(FOLLOW_S)
            else:
                break
    return response


def tail_offset(file: BinaryIO, lines: int | None) -> int:
    """Where the last `lines` lines begin; None means all."""
    position = file.seek(0, 2)
    if lines is None:
        return 0
    start, wanted, end = position, lines + 1, position
    while start > 0:
        start = max(0, end - CHUNK_BYTES)
        file.seek(start)
        block = file.read(end - start)
        if end == position and not block.endswith(b"\n"):
            wanted -= 1  # the last line has no end yet
        if block.count(b"\n") >= wanted:
            return end - len(block.split(b"\n", block.count(b"\n") - wanted + 1)[-1])
        wanted -= block.count(b"\n")
        end = start
    return 0


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name, "")
    return int(text) if text.isdecimal() else None


def _tls(pki: Path) -> ssl.SSLContext:
    """Only the API server gets an answer: logs are not for every user of the machine."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(pki / "nodes.crt", pki / "nodes.key")
    return context

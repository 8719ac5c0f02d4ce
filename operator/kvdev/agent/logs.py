"""What `kubectl logs` asks a node for: `/containerLogs/<namespace>/<pod>/<container>` over TLS.

The API server accepts a certificate that nobody signed; it is made in memory at each start. `timestamps`,
`sinceSeconds` and `sinceTime` have no effect: output is kept as the process wrote it, without times.
"""

import asyncio
import datetime
import ipaddress
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kvdev.agent.pods import Output, Pods

Object = dict[str, Any]

FOLLOW_S = 0.1
CHUNK_BYTES = 64 * 1024
VALID_DAYS = 365


class Logs:
    """One server at all nodes' addresses; `objects` are the live pods by namespace and name."""

    def __init__(self, pods: Pods, objects: Mapping[tuple[str, str], Object]) -> None:
        self._pods, self._objects = pods, objects

    async def run(self, addresses: Sequence[str], port: int) -> None:
        application = web.Application()
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        tls = _tls(addresses)
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


def _tls(addresses: Sequence[str]) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kvdev node agent")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(a)) for a in addresses])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(alternatives, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as pem:  # ssl reads key pairs from files only
        pem.write(certificate.public_bytes(serialization.Encoding.PEM) + private)
        pem.flush()
        context.load_cert_chain(Path(pem.name))
    return context

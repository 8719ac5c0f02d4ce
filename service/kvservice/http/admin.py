"""The second port: whether the pod lives, whether it wants requests, and what it counts. Never on the data port."""

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from kvservice.core.ports import Store
from kvservice.errors import Unavailable
from kvservice.telemetry import Telemetry

STORE_TIMEOUT_S = 0.8  # below the second that kubelet waits by default


def admin_app(store: Store, telemetry: Telemetry, is_draining: Callable[[], bool]) -> Starlette:
    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        """The cache has no say: reads work without it."""
        if is_draining():
            return PlainTextResponse("draining\n", 503)
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await store.ping()
        except (Unavailable, TimeoutError) as error:
            return PlainTextResponse(f"store out of reach: {error or 'timeout'}\n", 503)
        return PlainTextResponse("ready\n")

    async def metrics(_: Request) -> Response:
        return Response(telemetry.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def unknown(request: Request, _: Exception) -> Response:
        return PlainTextResponse(
            f"{request.method} {request.url.path}: this port has GET /healthz /readyz /metrics\n", 404
        )

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
    return Starlette(routes=routes, exception_handlers={HTTPException: unknown})

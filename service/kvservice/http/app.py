"""The data port's application: FastAPI with our problems, and around it what every request passes."""

import logging
from collections.abc import Callable
from time import perf_counter

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kvservice.core.records import Records
from kvservice.errors import KvError
from kvservice.http import problems
from kvservice.http.records import Limits, add_routes
from kvservice.telemetry import Telemetry

RECORD_ROOT = "/v1/kv/"
CLIENT_GONE = 499
log = logging.getLogger(__name__)


def create_app(records: Records, limits: Limits, version: str) -> FastAPI:
    """The API itself. Served inside `Outermost`."""
    app = FastAPI(
        title="KVCluster",
        version=version,
        summary="Records by namespace and id, in a region near you.",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    add_routes(app, records, limits)
    app.add_middleware(EncodedPath)
    app.add_exception_handler(KvError, _our_error)
    app.add_exception_handler(HTTPException, _routing_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _unexpected_error)
    return app


class EncodedPath:
    """Routes see the path as it was sent: an id may contain an encoded slash, which must not part it in two."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "path": scope["raw_path"].decode("latin-1")}, receive, send)


class Outermost:
    """Counts every request when its answer has ended, lets no exception out, and asks clients to reconnect while the
    pod drains. Plain ASGI: Starlette's BaseHTTPMiddleware costs most of the throughput."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, is_draining: Callable[[], bool]) -> None:
        self._app = app
        self._telemetry = telemetry
        self._is_draining = is_draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = perf_counter()
        code = 500  # if it never gets to an answer

        async def watched(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                if self._is_draining():
                    message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            code = CLIENT_GONE
        except Exception:
            log.exception("request_failed", extra={"method": scope["method"], "path": scope["path"][:200]})
        finally:
            route = "record" if scope["path"].startswith(RECORD_ROOT) else "other"
            self._telemetry.request(scope["method"], route, code, perf_counter() - begin)


async def _our_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, KvError)
    return problems.of(error)


async def _routing_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return problems.unknown_route(request.url.path)
    allowed = ", ".join(sorted(_methods(request)))
    detail = f"{request.method} is not among {allowed}"
    return problems.problem(problems.METHOD_NOT_ALLOWED, detail, {"allow": allowed})


def _methods(request: Request) -> set[str]:
    """Of all routes with the request's path: the framework tells of the first only."""
    matching = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in matching for method in route.methods}


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return problems.problem(problems.INVALID_REQUEST, detail)


async def _unexpected_error(_: Request, __: Exception) -> Response:
    return problems.internal()  # the exception goes on to `Outermost`, which logs it

"""The data port's application: FastAPI with our routes and problems, and around it what every request passes."""

import logging
import re
from collections.abc import Callable
from time import perf_counter

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kvservice.core.admission import Admission
from kvservice.core.namespaces import Namespaces
from kvservice.core.ports import Feed
from kvservice.core.records import Records
from kvservice.core.session import Sessions
from kvservice.errors import KvError
from kvservice.http import batch, changes, items, names, problems
from kvservice.http import records as record
from kvservice.http.auth import Authenticator
from kvservice.http.door import Door, Limits
from kvservice.http.openapi import document
from kvservice.http.paging import Pages
from kvservice.telemetry import Telemetry

CLIENT_GONE = 499
_PLAIN = re.compile(r"%(2[DdEe]|3[0-9Aa]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])")
"""Escapes of characters that mean the same unescaped: RFC 3986, 2.3, and the colon, which parts nothing but a batch."""
log = logging.getLogger(__name__)


def create_app(
    *,
    records: Records,
    feed: Feed | None,
    admission: Admission,
    namespaces: Namespaces,
    authenticator: Authenticator,
    sessions: Sessions,
    limits: Limits,
    deadline_s: float,
    page_secret: bytes,
    relay_token: str,
    now_us: Callable[[], int],
    version: str,
) -> FastAPI:
    """The API itself. Served inside `Outermost`. `feed`: None if nothing here keeps one; its route is unknown then.
    `deadline_s`: of requests that name none. `page_secret`: the same in all pods of the region."""
    door = Door(
        authenticator=authenticator,
        namespaces=namespaces,
        sessions=sessions,
        admission=admission,
        limits=limits,
        deadline_s=deadline_s,
    )
    app = FastAPI(version=version, docs_url=None, redoc_url=None, redirect_slashes=False)  # the pages load scripts
    app.openapi = lambda: document(limits, version)  # type: ignore[method-assign]  # FastAPI's way to replace it
    _add_records(app, record.RecordRoutes(records, door, now_us))
    range_ = items.ItemRoutes(records, door, Pages(page_secret, limits.id_bytes), now_us)
    app.add_api_route(items.PATH, range_.list, methods=["GET"])
    batches = batch.BatchRoutes(records, door, now_us)
    app.add_api_route(batch.GET_PATH, batches.get, methods=["POST"])
    app.add_api_route(batch.WRITE_PATH, batches.write, methods=["POST"])
    if feed is not None:
        app.add_api_route(changes.PATH, changes.ChangeRoutes(feed, relay_token).read, methods=["GET"])
    app.add_middleware(EncodedPath)
    app.add_exception_handler(KvError, _our_error)
    app.add_exception_handler(HTTPException, _routing_error)
    app.add_exception_handler(Exception, _unexpected_error)
    return app


def _add_records(app: FastAPI, routes: record.RecordRoutes) -> None:
    for path in record.PATHS:
        app.add_api_route(path, routes.read, methods=["GET", "HEAD"])
        app.add_api_route(path, routes.write, methods=["PUT"])
        app.add_api_route(path, routes.patch, methods=["PATCH"])
        app.add_api_route(path, routes.delete, methods=["DELETE"])


class EncodedPath:
    """Routes see the path as it was sent: an id may contain an encoded slash, which must not part it in two. Only what
    needed no encoding is decoded, if all of the path is well encoded."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("latin-1")
        if "%" in path and not names.BAD_ESCAPE.search(path):
            path = _PLAIN.sub(lambda match: chr(int(match[1], 16)), path)
        await self._app({**scope, "path": path}, receive, send)


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
            self._telemetry.request(scope["method"], route(scope["raw_path"]), code, perf_counter() - begin)


def route(path: bytes) -> str:
    """The kind of address, one of `kvservice.telemetry.ROUTES`; by the path as it was sent."""
    match path.split(b"/")[1:]:
        case [b"v1", b"kv", namespace] if namespace.endswith((b"batchGet", b"batchWrite")):
            return "batch"
        case [b"v1", b"kv", _, _, b"items"]:
            return "items"
        case [b"v1", b"kv", *_]:
            return "record"
        case [b"v1", b"changes"]:
            return "changes"
        case _:
            return "other"


async def _our_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, KvError)
    return problems.of(error).response()


async def _routing_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return problems.unknown_route(request.url.path).response()
    allowed = ", ".join(sorted(_methods(request)))
    detail = f"{request.method} is not among {allowed}"
    return problems.Problem(problems.METHOD_NOT_ALLOWED, detail, headers={"allow": allowed}).response()


def _methods(request: Request) -> set[str]:
    """Of all routes with the request's path: the framework tells of the first only."""
    matching = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in matching for method in route.methods}


async def _unexpected_error(_: Request, __: Exception) -> Response:
    return problems.internal().response()  # the exception goes on to `Outermost`, which logs it

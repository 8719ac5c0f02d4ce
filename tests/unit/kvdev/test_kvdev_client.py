"""The client against a server that says what API servers say, also the rare things."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from kvdev.client import Api, ApiError, Informer, UnreachableError
from kvdev.errors import KvdevError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Script:
    """Answers to requests, in order, each a handler; the last one stays."""

    def __init__(self) -> None:
        self.handlers: list[Handler] = []
        self.seen: list[web.Request] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        return await (self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0])(request)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def api(script: Script, tmp_path: Path) -> AsyncIterator[Api]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", script.handle)
    async with TestServer(application) as server:
        api = await Api.connect(kubeconfig(tmp_path, str(server.make_url("/"))))
        yield api
        await api.close()


def kubeconfig(folder: Path, server: str) -> Path:
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def answer(body: dict[str, Any], status: int = 200) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return handler


def events(*lines: dict[str, Any], hold: bool = False) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(json.dumps(line).encode() + b"\n")
        if hold:
            await asyncio.Event().wait()
        return response

    return handler


def obj(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "n", "name": name, "resourceVersion": version}}


def listing(version: str, *items: dict[str, Any]) -> Handler:
    return answer({"metadata": {"resourceVersion": version}, "items": list(items)})


async def test_a_request_carries_the_token_and_returns_the_object(api: Api, script: Script) -> None:
    script.handlers = [answer({"kind": "Pod"})]
    assert await api.request("GET", "/api/v1/pods/x", query={"limit": "1"}) == {"kind": "Pod"}
    assert script.seen[0].headers["Authorization"] == "Bearer secret"
    assert script.seen[0].query["limit"] == "1"


async def test_a_refusal_tells_status_reason_and_message(api: Api, script: Script) -> None:
    script.handlers = [answer({"kind": "Status", "reason": "Conflict", "message": "modified"}, 409)]
    with pytest.raises(ApiError) as raised:
        await api.request("GET", "/x")
    error = raised.value
    assert (error.status, error.reason, error.message) == (409, "Conflict", "modified")
    assert str(error) == "the API server answered 409 Conflict: modified"


async def test_no_answer_is_an_error_of_its_own(tmp_path: Path) -> None:
    api = await Api.connect(kubeconfig(tmp_path, "http://127.0.0.1:1"))
    with pytest.raises(UnreachableError, match=r"no answer from http://127\.0\.0\.1:1/x"):
        await api.request("GET", "/x")
    await api.close()


@pytest.mark.parametrize("text", ["", "{", "contexts: []"])
async def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken"
    path.write_text(text)
    with pytest.raises(KvdevError, match="broken is no usable kubeconfig"):
        await Api.connect(path)


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}}
RESOURCES = {"resources": [{"kind": "Deployment", "name": "deployments", "namespaced": True}]}


async def test_apply_finds_the_path_once_and_names_its_manager(api: Api, script: Script) -> None:
    script.handlers = [answer(RESOURCES), answer({"kind": "Deployment"})]
    await api.apply(DEPLOYMENT, manager="me")
    await api.apply(DEPLOYMENT, manager="me", force=False)
    assert [request.path for request in script.seen] == [
        "/apis/apps/v1",
        *2 * ["/apis/apps/v1/namespaces/n/deployments/d"],
    ]
    assert [dict(request.query) for request in script.seen[1:]] == [
        {"fieldManager": "me", "force": "true"},
        {"fieldManager": "me", "force": "false"},
    ]


async def test_apply_waits_for_a_kind_whose_storage_is_being_made(api: Api, script: Script) -> None:
    script.handlers = [
        answer(RESOURCES),
        answer({"message": "storage is (re)initializing"}, 429),
        answer({"kind": "D"}),
    ]
    assert await api.apply(DEPLOYMENT, manager="me") == {"kind": "D"}


async def test_apply_of_an_unknown_kind_says_so(api: Api, script: Script) -> None:
    script.handlers = [answer({}, 404)]
    with pytest.raises(KvdevError, match="knows no kind Deployment in apps/v1: is its CRD installed"):
        await api.apply(DEPLOYMENT, manager="me")


async def told(api: Api, changes: int) -> tuple[list[tuple[str, str]], Informer]:
    """What an informer tells, until that many changes came."""
    seen: list[tuple[str, str]] = []
    enough = asyncio.Event()

    def on_change(event: str, changed: dict[str, Any]) -> None:
        seen.append((event, changed["metadata"]["name"]))
        if len(seen) == changes:
            enough.set()

    informer = Informer(api, "/api/v1/pods", on_change=on_change)
    running = asyncio.create_task(informer.run())
    async with asyncio.timeout(10):
        await informer.synced()
        await enough.wait()
    running.cancel()
    await asyncio.wait([running])
    return seen, informer


async def test_an_informer_lists_then_follows(api: Api, script: Script) -> None:
    script.handlers = [
        listing("5", obj("a", "1"), obj("b", "2")),
        events(
            {"type": "MODIFIED", "object": obj("a", "6")},
            {"type": "DELETED", "object": obj("b", "7")},
            {"type": "ADDED", "object": obj("c", "8")},
            hold=True,
        ),
    ]
    seen, informer = await told(api, 5)
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b"), ("ADDED", "c")]
    assert set(informer.items) == {("n", "a"), ("n", "c")}


async def test_a_watch_that_ends_goes_on_from_the_last_version_it_saw(api: Api, script: Script) -> None:
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    script.handlers = [
        listing("5", obj("a", "1")),
        events(bookmark),
        events({"type": "ADDED", "object": obj("b", "10")}, hold=True),
    ]
    await told(api, 2)
    assert [request.query.get("resourceVersion") for request in script.seen] == [None, "5", "9"]


async def test_a_version_that_is_too_old_is_listed_anew_and_only_differences_are_told(api: Api, script: Script) -> None:
    script.handlers = [
        listing("5", obj("same", "1"), obj("gone", "2"), obj("changed", "3")),
        events({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}),
        listing("20", obj("same", "1"), obj("changed", "18"), obj("new", "19")),
        events(hold=True),
    ]
    seen, _ = await told(api, 6)
    assert seen[3:] == [("DELETED", "gone"), ("MODIFIED", "changed"), ("ADDED", "new")]

"""The one door to the API server: plain dicts in and out over aiohttp, and informers (list + watch).

Used by everything in kvdev that speaks to Kubernetes. Owns connection, authentication, discovery of paths and
the watch protocol; knows no kind of object. kvdev is not the operator: it needs no typed models, and a plain
client starts several times faster than the generated one.

KvdevError
|- ApiError          the API server answered with a status of 400 or more
`- UnreachableError  no answer: refused, reset, timed out
"""

import asyncio
import base64
import json
import logging
import ssl
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from kvdev.errors import KvdevError

log = logging.getLogger(__name__)

APPLY = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"

CONNECT_TIMEOUT_S = 2.0
WATCH_S = 300  # the server ends a watch after this; ending is normal and cheap, the next goes on from there
WATCH_SILENCE_S = 90.0  # bookmarks come about every 60 s: longer silence is a dead connection
MAX_LINE_BYTES = 8 << 20  # one watch event is one line; etcd's objects end at 1.5 MiB
RETRY_FIRST_S, RETRY_CAP_S = 0.1, 3.0
INITIALIZING_TRIES = 50  # a new CRD answers 429 "storage is (re)initializing" for a moment

Items = dict[tuple[str, str], dict[str, Any]]


class ApiError(KvdevError):
    """An answer of 400 or more. `body` is the Status object (empty where the answer was no JSON)."""

    def __init__(self, status: int, reason: str, message: str, body: dict[str, Any]) -> None:
        super().__init__(f"the API server answered {status} {reason}: {message}")
        self.status, self.reason, self.message, self.body = status, reason, message, body


class UnreachableError(KvdevError):
    """The API server gave no answer in time."""


class Api:
    """A connection to one API server. Make it with `connect`, end it with `close`."""

    def __init__(self, server: str, session: aiohttp.ClientSession) -> None:
        self.server = server
        self._session = session
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}

    @classmethod
    async def connect(cls, kubeconfig: Path) -> Self:
        """Connection for the kubeconfig's current context. Sends nothing yet; KvdevError when the file is no use."""
        server, tls, token = _read(kubeconfig)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),  # each watch holds a connection for good
            headers={"Authorization": f"Bearer {token}"} if token else {},
            read_bufsize=MAX_LINE_BYTES,
        )
        return cls(server, session)

    async def close(self) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        content_type: str = "application/json",
        timeout_s: float = 10,
    ) -> dict[str, Any]:
        """The answer's JSON object. ApiError for 400 and up, UnreachableError when none came in `timeout_s`."""
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        async with self._open(method, path, query, body, content_type, timeout) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def apply(self, obj: dict[str, Any], *, manager: str, force: bool = True) -> dict[str, Any]:
        """Server-side apply; the object as stored. KvdevError when the server knows no such kind."""
        path = f"{await self.path_of(obj)}/{obj['metadata']['name']}"
        query = {"fieldManager": manager, "force": str(force).lower()}
        for _ in range(INITIALIZING_TRIES):
            try:
                return await self.request("PATCH", path, query=query, body=obj, content_type=APPLY)
            except ApiError as e:
                if e.status != 429:
                    raise
                last = e
                await asyncio.sleep(RETRY_FIRST_S)
        raise last

    async def path_of(self, obj: dict[str, Any]) -> str:
        """Path of the collection that the object belongs to, by its apiVersion, kind and namespace."""
        version, kind = obj["apiVersion"], obj["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if kind not in self._resources.get(version, {}):
            self._resources[version] = await self._discover(root)
        if kind not in self._resources[version]:
            raise KvdevError(f"the API server knows no kind {kind} in {version}: is its CRD installed?")
        plural, namespaced = self._resources[version][kind]
        namespace = obj["metadata"].get("namespace", "default")
        return f"{root}/namespaces/{namespace}/{plural}" if namespaced else f"{root}/{plural}"

    async def _discover(self, root: str) -> dict[str, tuple[str, bool]]:
        try:
            listed = (await self.request("GET", root))["resources"]
        except ApiError as e:
            if e.status != 404:
                raise
            return {}
        return {r["kind"]: (r["name"], r["namespaced"]) for r in listed if "/" not in r["name"]}

    async def watch(self, path: str, query: dict[str, str]) -> AsyncGenerator[dict[str, Any], None]:
        """Events of one watch until the server ends it."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=WATCH_SILENCE_S)
        query = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_S)}
        async with self._open("GET", path, query, None, "application/json", timeout) as response:
            async for line in response.content:
                yield json.loads(line)

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        body: dict[str, Any] | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        data = None if body is None else json.dumps(body)
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            async with self._session.request(
                method, self.server + path, params=query, data=data, headers=headers, timeout=timeout
            ) as response:
                if response.status >= 400:
                    raise _error(response.status, response.reason or "", await response.text())
                yield response
        except (aiohttp.ClientError, TimeoutError) as e:
            raise UnreachableError(f"no answer from {self.server}{path}: {type(e).__name__} {e}".rstrip()) from e


class Informer:
    """A live copy of one collection.

    `items` is keyed (namespace, name), namespace "" for cluster-wide kinds. `on_change(event, object)` is called for
    each difference with event ADDED, MODIFIED or DELETED, after `items` was updated; it must not block.
    Objects are shared: read, never edit.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        *,
        query: dict[str, str] | None = None,
        on_change: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> None:
        self.items: Items = {}
        self._api, self._path, self._query = api, path, query or {}
        self._on_change = on_change
        self._synced = asyncio.Event()

    async def synced(self) -> None:
        """Returns once `items` holds a whole listing."""
        await self._synced.wait()

    async def run(self) -> None:
        """Keeps `items` true until cancelled; connections that fail are made again with back-off."""
        version, pause_s = "", RETRY_FIRST_S
        while True:
            try:
                version = version or await self._relist()
                async with aclosing(self._api.watch(self._path, {**self._query, "resourceVersion": version})) as events:
                    async for event in events:
                        version = self._take(event)
                        pause_s = RETRY_FIRST_S
            except (ApiError, UnreachableError) as e:
                if isinstance(e, ApiError):  # 410: the version is too old. Others may leave a gap: list again.
                    version = ""
                if pause_s == RETRY_FIRST_S:
                    log.info("watch interrupted", extra={"path": self._path, "error": str(e)})
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_CAP_S)

    async def _relist(self) -> str:
        listing = await self._api.request("GET", self._path, query=self._query)
        fresh = {_key(obj): obj for obj in listing.get("items") or []}
        for key in self.items.keys() - fresh.keys():
            self._tell("DELETED", self.items.pop(key))
        for key, obj in fresh.items():
            known = self.items.get(key)
            self.items[key] = obj
            if known is None or _version(known) != _version(obj):
                self._tell("ADDED" if known is None else "MODIFIED", obj)
        self._synced.set()
        version: str = listing["metadata"]["resourceVersion"]
        return version

    def _take(self, event: dict[str, Any]) -> str:
        obj = event["object"]
        match event["type"]:
            case "ERROR":
                raise _error(obj.get("code", 500), obj.get("reason", ""), json.dumps(obj))
            case "BOOKMARK":
                pass
            case "DELETED":
                self.items.pop(_key(obj), None)
                self._tell("DELETED", obj)
            case kind:
                self.items[_key(obj)] = obj
                self._tell(kind, obj)
        return _version(obj)

    def _tell(self, event: str, obj: dict[str, Any]) -> None:
        if self._on_change:
            self._on_change(event, obj)


def _key(obj: dict[str, Any]) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _version(obj: dict[str, Any]) -> str:
    version: str = obj["metadata"]["resourceVersion"]
    return version


def _error(status: int, reason: str, text: str) -> ApiError:
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    return ApiError(status, body.get("reason") or reason, body.get("message") or text.strip(), body)


def _read(kubeconfig: Path) -> tuple[str, ssl.SSLContext, str | None]:
    try:
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        return cluster["server"].rstrip("/"), _tls(cluster, user), user.get("token")
    except (OSError, KeyError, TypeError, StopIteration, ValueError, yaml.YAMLError) as e:
        raise KvdevError(f"{kubeconfig} is no usable kubeconfig ({type(e).__name__}: {e})") from e


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _tls(cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cluster.get("certificate-authority"))
    if "certificate-authority-data" in cluster:
        context.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    if "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    if "client-certificate-data" in user:
        _load_chain(context, user["client-certificate-data"], user["client-key-data"])
    return context


def _load_chain(context: ssl.SSLContext, certificate: str, key: str) -> None:
    with tempfile.NamedTemporaryFile() as pem:  # ssl reads key pairs from files only; made 0600, gone at once
        pem.write(base64.b64decode(certificate) + b"\n" + base64.b64decode(key))
        pem.flush()
        context.load_cert_chain(pem.name)

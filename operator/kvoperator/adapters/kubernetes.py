"""`ports.KubeApi` by the official client's asyncio half, on its low-level path: JSON in and out, bounded in time.

The typed path validates every answer (6 times the CPU of a list) and loses the object that an apply creates. Nothing is
retried here but a call whose token had expired: a pass that failed is repeated as a whole, see `reconcile/queue.py`.
"""

import hashlib
import json
import os
import re
from datetime import datetime
from typing import Any

import aiohttp
from kubernetes.aio import client, config

from kvoperator.core import naming
from kvoperator.core.manifests import Object
from kvoperator.core.rollout.model import Event
from kvoperator.errors import ApiError, ConflictError, NotServedError, RefusedError, StaleError, UnreachableError
from kvoperator.ports import KINDS, KVCLUSTER, SECRET, Kind

Query = list[tuple[str, str]]

APPLY = "application/apply-patch+yaml"
JSON = "application/json"
_TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=2)
_RETRYABLE = (408, 425, 429)


class Kubernetes:
    """Logs in by KUBECONFIG if it is set, else as a pod. `namespace`: the only one to look at; None: all."""

    def __init__(self, namespace: str | None = None) -> None:
        self._namespace = namespace
        self._api: client.ApiClient | None = None

    async def objects(self, kind: Kind) -> tuple[list[Object], int]:
        """Raises NotServedError if the kind is absent or may not be listed."""
        selector = [] if kind is KVCLUSTER else [("labelSelector", f"{naming.MANAGED_BY_LABEL}={naming.MANAGER}")]
        status, answer = await self._call("GET", _path(kind, self._namespace), selector)
        if status in (403, 404):
            advice = {403: "may not be listed: apply operator/install.yaml", 404: "is not served: install its CRD"}
            raise NotServedError(f"{kind.name} ({kind.api_version}) {advice[status]}")
        found = _checked(f"list {kind.plural}", status, answer)
        items = [{"apiVersion": kind.api_version, "kind": kind.name} | item for item in found["items"]]
        return items, int(found["metadata"]["resourceVersion"])

    async def apply(self, wanted: Object, *, force: bool = False) -> Object:
        query = [("fieldManager", naming.MANAGER), ("force", str(force).lower())]
        return _checked(_title("apply", wanted), *await self._call("PATCH", _where(wanted), query, wanted, APPLY))

    async def create(self, wanted: Object) -> None:
        path, query = _where(wanted).rpartition("/")[0], [("fieldManager", naming.MANAGER)]
        status, answer = await self._call("POST", path, query, wanted)
        if (status, answer.get("reason")) != (409, "AlreadyExists"):
            _checked(_title("create", wanted), status, answer)

    async def delete(self, observed: Object) -> None:
        options = {"preconditions": {"uid": observed["metadata"]["uid"]}, "propagationPolicy": "Background"}
        status, answer = await self._call("DELETE", _where(observed), [], options)
        if status != 404:
            _checked(_title("delete", observed), status, answer)

    async def write_status(self, observed: Object, status: Object) -> Object:
        metadata = {key: observed["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
        body = {"apiVersion": observed["apiVersion"], "kind": observed["kind"], "metadata": metadata, "status": status}
        # Forced: a person who edits status does not steer by it (see api/status.py), and must not stop the operator.
        query = [("fieldManager", naming.MANAGER), ("force", "true")]
        answer = await self._call("PATCH", f"{_where(observed)}/status", query, body, APPLY)
        return _checked(_title("write the status of", observed), *answer)

    async def post_event(self, observed: Object, event: Event, now: datetime) -> None:
        """Its name is made of what it says and when: posted twice, it is there once."""
        manifest = _event(observed, event, now)
        path = f"/api/v1/namespaces/{manifest['metadata']['namespace']}/events"
        status, answer = await self._call("POST", path, [], manifest)
        if status != 409:
            _checked(_title("post an event about", observed), status, answer)

    async def close(self) -> None:
        if self._api:
            await self._api.close()
            self._api = None

    async def _call(
        self, method: str, path: str, query: Query, body: Object | None = None, content: str = JSON
    ) -> tuple[int, Object]:
        try:
            status, answer = await self._send(method, path, query, body, content)
            if status == 401:  # the token has run out; the file it came from has a newer one
                await self.close()
                status, answer = await self._send(method, path, query, body, content)
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            raise UnreachableError(f"{method} {path}: no answer ({type(error).__name__} {error})") from error
        return status, answer

    async def _send(
        self, method: str, path: str, query: Query, body: Object | None, content: str
    ) -> tuple[int, Object]:
        api = self._api = self._api or await connect()
        headers = {"Accept": "application/json", "Content-Type": content}
        call = await api.param_serialize(
            method, path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        response = await api.call_api(*call, _request_timeout=_TIMEOUT)
        return response.status, _json(await response.read())


async def connect() -> client.ApiClient:
    """A client with a configuration of its own; raises UnreachableError if there is no way to log in."""
    configuration = client.Configuration()
    try:
        if path := os.environ.get("KUBECONFIG"):
            await config.load_kube_config(config_file=path, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise UnreachableError(f"no way to log in to Kubernetes: {error}; set KUBECONFIG or run as a pod") from error
    return client.ApiClient(configuration)


def _path(kind: Kind, namespace: str | None) -> str:
    return f"{kind.path}/namespaces/{namespace}/{kind.plural}" if namespace else f"{kind.path}/{kind.plural}"


def _where(manifest: Object) -> str:
    metadata = manifest["metadata"]
    kind = KINDS.get(manifest["kind"], SECRET)
    return f"{_path(kind, metadata['namespace'])}/{metadata['name']}"


def _title(verb: str, manifest: Object) -> str:
    return f"{verb} {manifest['kind']} {manifest['metadata']['namespace']}/{manifest['metadata']['name']}"


def _json(body: bytes) -> Object:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = body.decode(errors="replace")
    return answer if isinstance(answer, dict) else {"message": str(answer)[:500]}


def _checked(what: str, status: int, answer: Object) -> Object:
    """The answer, or the error that it is."""
    if status < 400:
        return answer
    raise _error(what, status, answer)


def _error(what: str, status: int, answer: Object) -> ApiError:
    message = f"{what}: {status} {answer.get('message', '')}"
    causes = (answer.get("details") or {}).get("causes") or []
    taken = [cause for cause in causes if cause.get("reason") == "FieldManagerConflict"]
    if taken:
        return _conflict(what, taken)
    if status == 409:
        return StaleError(message)
    # A field that the schema does not know is answered 500, and would be for ever.
    if status in _RETRYABLE or (status >= 500 and "failed to create typed patch object" not in message):
        return UnreachableError(message)
    return RefusedError(message)


def _conflict(what: str, causes: list[dict[str, Any]]) -> ConflictError:
    """`conflict with "kubectl-edit" using apps/v1` is a person's edit, patch, scale or label.

    One who applies shows without a version: `conflict with "argocd"`.
    """
    messages = [str(cause.get("message", "")) for cause in causes]
    names = sorted({name for message in messages for name in re.findall(r'conflict with "([^"]*)"', message)})
    by_hand = all(re.match(r'conflict with "kubectl(-[a-z-]+)?".* using ', message) for message in messages)
    return ConflictError(what, tuple(str(cause.get("field")) for cause in causes), tuple(names), by_hand=by_hand)


def _event(observed: Object, event: Event, now: datetime) -> Object:
    metadata, time = observed["metadata"], now.isoformat(timespec="seconds").replace("+00:00", "Z")
    digest = hashlib.sha256(f"{metadata['uid']}{event}{time}".encode()).hexdigest()[:16]
    about = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{digest}", "namespace": metadata["namespace"]},
        "involvedObject": {"apiVersion": observed["apiVersion"], "kind": observed["kind"]} | about,
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:1024],
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "source": {"component": naming.MANAGER},
        "reportingComponent": naming.MANAGER,
    }

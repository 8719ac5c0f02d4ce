"""Warnings about pods as Kubernetes Events, so that `kubectl describe pod` says why one does not run.

They leave through a queue: nobody waits for them, and when the API server is away they are lost, as kubelet's are.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from kvdev.client import Api, ApiError, UnreachableError

log = logging.getLogger(__name__)

Object = dict[str, Any]

SOURCE = "kvdev-agent"
PENDING_MAX = 1000


class Events:
    """`warn` never blocks; the same warning twice in a row about a container is told once."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._queue: asyncio.Queue[Object] = asyncio.Queue(PENDING_MAX)
        self._last: dict[tuple[str, str], tuple[str, str]] = {}

    def warn(self, pod: Object, container: str, reason: str, message: str) -> None:
        key = (pod["metadata"]["uid"], container)
        if self._last.get(key) != (reason, message) and not self._queue.full():
            self._last[key] = (reason, message)
            self._queue.put_nowait(event(pod, container, reason, message, datetime.now(UTC)))

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._last = {key: told for key, told in self._last.items() if key[0] != uid}

    async def run(self) -> None:
        while True:
            told = await self._queue.get()
            path = f"/api/v1/namespaces/{told['metadata']['namespace']}/events"
            try:
                await self._api.request("POST", path, body=told)
            except (ApiError, UnreachableError) as e:
                log.info("event lost", extra={"pod": told["involvedObject"]["name"], "error": str(e)})


def event(pod: Object, container: str, reason: str, message: str, now: datetime) -> Object:
    metadata = pod["metadata"]
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"apiVersion": "v1", "kind": "Pod", **{key: metadata[key] for key in ("namespace", "name", "uid")}}
    return {
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": about | ({"fieldPath": f"spec.containers{{{container}}}"} if container else {}),
        "type": "Warning",
        "reason": reason,
        "message": message,
        "source": {"component": SOURCE, "host": pod["spec"]["nodeName"]},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }

"""What the watches tell is put into the mirror, and whom it concerns is woken. Of kopf only `handlers.py` knows."""

import asyncio

import structlog

from kvoperator.core.manifests import Object
from kvoperator.errors import OperatorError
from kvoperator.ports import KVCLUSTER, Kind, KubeApi
from kvoperator.reconcile.mirror import Key, Mirror
from kvoperator.reconcile.queue import Queue

_log = structlog.get_logger()


class Watched:
    def __init__(self, kube: KubeApi, mirror: Mirror, queue: Queue) -> None:
        self._kube, self._mirror, self._queue = kube, mirror, queue
        self._lists: dict[str, asyncio.Task[None]] = {}

    def seen(self, kind: Kind, body: Object) -> None:
        """An object that there is, of the first list or told since."""
        self._wake(self._mirror.put({"apiVersion": kind.api_version, "kind": kind.name} | body))

    def told(self, kind: Kind, type: str | None, body: Object, *, again: bool) -> None:  # noqa: A002
        """An event. `type` None: the object was in a list; `again`: and that was not the first time."""
        self._queue.open()
        if type == "DELETED":
            self._gone({"apiVersion": kind.api_version, "kind": kind.name} | body)
        elif type is None and again and kind.name not in self._lists:
            self._lists[kind.name] = asyncio.create_task(self._list(kind))

    async def close(self) -> None:
        """Ends what is under way. A pass cut short is no different from a crash, which every pass is made for."""
        await self._queue.close()
        lists = list(self._lists.values())
        for task in lists:
            task.cancel()
        await asyncio.gather(*lists, return_exceptions=True)

    def _gone(self, observed: Object) -> None:
        key = self._mirror.drop(observed)
        if key and observed["kind"] == KVCLUSTER.name:
            self._queue.forget(key)
        self._wake(key)

    async def _list(self, kind: Kind) -> None:
        """kopf lists anew when its watch was cut off for too long, and never tells what went away meanwhile."""
        try:
            keys = self._mirror.replace(kind.name, *await self._kube.objects(kind))
        except OperatorError as error:
            _log.warning("list_failed", kind=kind.name, error=str(error))
            return
        finally:
            del self._lists[kind.name]
        for key in keys:
            self._wake(key)

    def _wake(self, key: Key | None) -> None:
        """Children outlive their KVCluster for a moment: nobody has to look at them."""
        if key and self._mirror.get((KVCLUSTER.name, *key)):
            self._queue.wake(key)

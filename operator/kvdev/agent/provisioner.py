"""Folders for claims: the volume provisioner of StorageClasses with provisioner `kvdev.kvcluster.dev/folder`.

A volume is `volumes/<namespace>-<claim>-<uid>/`, good for any access mode, for all nodes are this machine. It goes
when its claim is gone and its reclaim policy is Delete; with Retain it stays until somebody removes it.
"""

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

from kvdev.client import Api, ApiError, Informer, UnreachableError
from kvdev.errors import KvdevError

log = logging.getLogger(__name__)

Object = dict[str, Any]

PROVISIONER = "kvdev.kvcluster.dev/folder"
MANAGER = "kvdev-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"  # set by the scheduler for WaitForFirstConsumer
VOLUMES = "/api/v1/persistentvolumes"
RETRY_S = 1.0


class Provisioner:
    """`run` acts on claims, volumes and classes as they change. `folder` holds all volumes."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api, self._folder = api, folder
        self._changed = asyncio.Event()

        def informer(path: str) -> Informer:
            return Informer(api, path, on_change=lambda _event, _object: self._changed.set())

        self._claims = informer("/api/v1/persistentvolumeclaims")
        self._volumes = informer(VOLUMES)
        self._classes = informer("/apis/storage.k8s.io/v1/storageclasses")

    async def run(self) -> None:
        informers = (self._claims, self._volumes, self._classes)
        async with asyncio.TaskGroup() as tasks:
            for informer in informers:
                tasks.create_task(informer.run())
            await asyncio.gather(*(informer.synced() for informer in informers))
            while True:
                self._changed.clear()
                if not await self._pass():
                    await asyncio.sleep(RETRY_S)
                    self._changed.set()
                await self._changed.wait()

    async def _pass(self) -> bool:
        """One look at everything; False when something has to be tried again."""
        done = True
        for claim in list(self._claims.items.values()):
            storage_class = self._classes.items.get(("", claim["spec"].get("storageClassName") or ""))
            if storage_class and needs_volume(claim, storage_class) and not self._has_volume(claim):
                done &= await self._try(claim, self._provide(claim, storage_class))
        for volume in list(self._volumes.items.values()):
            if is_to_be_removed(volume):
                done &= await self._try(volume, self._remove(volume))
        return done

    def _has_volume(self, claim: Object) -> bool:
        return ("", _volume_name(claim)) in self._volumes.items

    async def _try(self, obj: Object, action: Any) -> bool:
        try:
            await action
        except (ApiError, UnreachableError, OSError, KvdevError) as e:
            log.warning("volume not settled", extra={"object": obj["metadata"]["name"], "error": str(e)})
            return False
        return True

    async def _provide(self, claim: Object, storage_class: Object) -> None:
        metadata = claim["metadata"]
        path = self._folder / f"{metadata['namespace']}-{metadata['name']}-{metadata['uid']}"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._api.apply(volume_of(claim, storage_class, path), manager=MANAGER)
        log.info("volume made", extra={"claim": f"{metadata['namespace']}/{metadata['name']}", "path": str(path)})

    async def _remove(self, volume: Object) -> None:
        path = Path(volume["spec"]["hostPath"]["path"])
        if path.parent != self._folder or ".." in path.parts:
            raise KvdevError(f"{path} is not in {self._folder}: delete it and the volume by hand if you mean to")
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        try:
            await self._api.request("DELETE", f"{VOLUMES}/{volume['metadata']['name']}")
        except ApiError as e:
            if e.status != 404:
                raise
        log.info("volume removed", extra={"path": str(path)})


def needs_volume(claim: Object, storage_class: Object) -> bool:
    """Whether the claim waits for a folder of ours."""
    waits = (claim.get("status") or {}).get("phase") == "Pending" and not claim["spec"].get("volumeName")
    late = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
    has_consumer = SELECTED_NODE in (claim["metadata"].get("annotations") or {})
    leaving = "deletionTimestamp" in claim["metadata"]
    return storage_class["provisioner"] == PROVISIONER and waits and not leaving and (has_consumer or not late)


def is_to_be_removed(volume: Object) -> bool:
    """Whether it is ours, its claim is gone, and its policy says that the data go too."""
    ours = (volume["metadata"].get("annotations") or {}).get("pv.kubernetes.io/provisioned-by") == PROVISIONER
    released = (volume.get("status") or {}).get("phase") == "Released"
    leaving = "deletionTimestamp" in volume["metadata"]
    return ours and released and not leaving and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"


def volume_of(claim: Object, storage_class: Object, path: Path) -> Object:
    """The PersistentVolume for the claim and no other."""
    metadata, spec = claim["metadata"], claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": _volume_name(claim),
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": storage_class["metadata"]["name"],
            "hostPath": {"path": str(path), "type": "Directory"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def _volume_name(claim: Object) -> str:
    return f"pvc-{claim['metadata']['uid']}"

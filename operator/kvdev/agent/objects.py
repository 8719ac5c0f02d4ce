"""What a pod needs from the API server beyond itself: its ConfigMaps, Secrets, claims' folders and account's tokens."""

from pathlib import Path
from typing import Any

from kvdev.agent.environment import ConfigError
from kvdev.client import Api, ApiError

Object = dict[str, Any]

TOKEN_S = 24 * 3600  # clients read a kubeconfig once, so its token must outlive a long day's work
_PLURALS = {"configMap": "configmaps", "secret": "secrets"}


class Objects:
    """Each call asks the API server: a container starts with what holds now."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def get(self, namespace: str, kind: str, name: str) -> Object | None:
        """A ConfigMap or Secret (kind as in a pod: configMap, secret), None when there is none."""
        return await self._get(f"/api/v1/namespaces/{namespace}/{_PLURALS[kind]}/{name}")

    async def claim_folder(self, namespace: str, claim: str) -> Path:
        """The folder behind a claim. ConfigError while the claim is not bound, or bound to something else."""
        bound = await self._get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}") or {}
        volume_name = (bound.get("spec") or {}).get("volumeName")
        volume = await self._get(f"/api/v1/persistentvolumes/{volume_name}") if volume_name else None
        path = (((volume or {}).get("spec") or {}).get("hostPath") or {}).get("path")
        if not path:
            raise ConfigError(
                f"persistentvolumeclaim {claim!r} is not bound to a folder: see kubectl describe pvc {claim}"
            )
        return Path(path)

    async def token(self, pod: Object, audience: str = "") -> str:
        """A token of the pod's service account that ends with the pod, at the latest after `TOKEN_S`."""
        metadata = pod["metadata"]
        account = pod["spec"].get("serviceAccountName", "default")
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec = {"expirationSeconds": TOKEN_S, "boundObjectRef": bound} | ({"audiences": [audience]} if audience else {})
        answer = await self._api.request(
            "POST",
            f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token",
            body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )
        return str(answer["status"]["token"])

    async def _get(self, path: str) -> Object | None:
        try:
            return await self._api.request("GET", path)
        except ApiError as e:
            if e.status != 404:
                raise
            return None

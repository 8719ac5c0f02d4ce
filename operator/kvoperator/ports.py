"""What the operator needs of the world. `adapters` keep these promises; tests keep them with dictionaries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kvoperator.api.spec import GROUP, KIND, PLURAL, VERSION
from kvoperator.core.judge import Samples
from kvoperator.core.manifests import Object
from kvoperator.core.rollout.model import Event


@dataclass(frozen=True)
class Kind:
    api_version: str
    name: str
    plural: str

    @property
    def path(self) -> str:
        """`/api/v1` or `/apis/group/version`."""
        return f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"


KVCLUSTER = Kind(f"{GROUP}/{VERSION}", KIND, PLURAL)
# The order is that of removal: traffic first, data last.
CHILDREN = (
    Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("batch/v1", "Job", "jobs"),
    Kind("apps/v1", "Deployment", "deployments"),
    Kind("v1", "Service", "services"),
    Kind("v1", "ConfigMap", "configmaps"),
    Kind("apps/v1", "StatefulSet", "statefulsets"),
    Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
)
KINDS = {kind.name: kind for kind in (KVCLUSTER, *CHILDREN)}  # those that are watched
SECRET = Kind("v1", "Secret", "secrets")  # made, never read: to watch one is the right to read all


class KubeApi(Protocol):
    """One API server. Objects go in and come out as JSON; every failure is an `errors.ApiError`."""

    async def objects(self, kind: Kind) -> tuple[list[Object], int]:
        """All KVClusters, or all children labelled as ours, and the resourceVersion as of which that is so."""

    async def apply(self, wanted: Object, *, force: bool = False) -> Object:
        """Server-side apply as `kvoperator`; what the server now has. Applying the same again changes nothing."""

    async def create(self, wanted: Object) -> None:
        """Makes it; one of its name that is there stays as it is, unseen."""

    async def delete(self, observed: Object) -> None:
        """That very object (by uid), in the background; it is no error if it is gone."""

    async def write_status(self, observed: Object, status: Object) -> Object:
        """Puts the whole status of that very version of the object. Raises StaleError if it has moved on."""

    async def post_event(self, observed: Object, event: Event, now: datetime) -> None:
        """A Kubernetes Event about the object."""


class Metrics(Protocol):
    async def query(self, promql: str) -> Samples | str:
        """An instant query: its finite samples, or in one line why there are none. Never raises, never waits long."""


class Clock(Protocol):
    def now(self) -> datetime:
        """With time zone, UTC."""

"""The API server as the command line sees it: read an object, annotate one, list its Events.

Real clusters too, hence the official client and the user's kubeconfig. Whatever goes wrong comes out as a
ClusterError whose message a person can act on.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from kvctl.errors import ClusterError, NotFoundError, UnreachableError, UsageError
from kvoperator.api.spec import GROUP, KIND, PLURAL, VERSION

TIMEOUT_S = 10
KubeconfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig", help="Default: $KUBECONFIG, else the one running `kvctl dev` cluster, else ~/.kube/config."
    ),
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Default: that of the kubeconfig's context, else `default`.")
]


def find_kubeconfig(given: Path | None, environment: dict[str, str], home: Path) -> Path:
    """The kubeconfig to use; see KubeconfigOption. Raises UnreachableError when there is none, UsageError when
    several."""
    if given or environment.get("KUBECONFIG"):
        chosen = (given or Path(environment["KUBECONFIG"])).expanduser()
        if not chosen.is_file():
            raise UnreachableError(f"there is no kubeconfig at {chosen}; name one with --kubeconfig, or `kvctl dev up`")
        return chosen
    state = Path(environment.get("XDG_STATE_HOME") or home / ".local" / "state")
    ours = sorted(state.glob("kvdev/*/kubeconfig"))
    if len(ours) > 1:
        raise UsageError(f"several development clusters: choose with --kubeconfig one of {', '.join(map(str, ours))}")
    for candidate in (*ours, home / ".kube" / "config"):
        if candidate.is_file():
            return candidate
    raise UnreachableError("no cluster to talk to: set KUBECONFIG, give --kubeconfig, or start one with `kvctl dev up`")


class Kube:
    """A connection to the cluster of a kubeconfig's current context. `namespace` is the one to use by default."""

    def __init__(self, kubeconfig: Path, namespace: str | None = None) -> None:
        from kubernetes import client, config  # costs 0.2 s, which other commands need not pay

        try:
            settings = client.Configuration()
            config.load_kube_config(config_file=str(kubeconfig), client_configuration=settings)
            _, context = config.list_kube_config_contexts(config_file=str(kubeconfig))
        except Exception as error:  # the client lets YAML, type and key errors through as they come
            raise UnreachableError(f"{kubeconfig} is no usable kubeconfig: {_one_line(error)}") from error
        settings.retries = False  # one try: a person waits, and can try again
        self.server = settings.host
        self.namespace = namespace or context["context"].get("namespace") or "default"
        api = client.ApiClient(settings)
        self._custom = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._to_dict = api.sanitize_for_serialization

    @classmethod
    def connect(cls, kubeconfig: Path | None, namespace: str | None) -> "Kube":
        return cls(find_kubeconfig(kubeconfig, dict(os.environ), Path.home()), namespace)

    def cluster(self, name: str) -> dict[str, Any]:
        """The KVCluster as the API server has it."""
        return self.read(GROUP, VERSION, PLURAL, KIND, self.namespace, name)

    def read(self, group: str, version: str, plural: str, kind: str, namespace: str, name: str) -> dict[str, Any]:
        with _explained(self.server, f"{kind} {name} in namespace {namespace}"):
            found: dict[str, Any] = self._custom.get_namespaced_custom_object(
                group, version, namespace, plural, name, _request_timeout=TIMEOUT_S
            )
            return found

    def annotate(self, name: str, annotations: dict[str, str]) -> None:
        """Set annotations of a KVCluster; others are left alone."""
        with _explained(self.server, f"{KIND} {name} in namespace {self.namespace}"):
            self._custom.patch_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                PLURAL,
                name,
                {"metadata": {"annotations": annotations}},
                _request_timeout=TIMEOUT_S,
            )

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events about a KVCluster, oldest first."""
        with _explained(self.server, f"Events in namespace {self.namespace}"):
            found = self._core.list_namespaced_event(
                self.namespace,
                field_selector=f"involvedObject.kind={KIND},involvedObject.name={name}",
                _request_timeout=TIMEOUT_S,
            )
        events: list[dict[str, Any]] = self._to_dict(found.items)
        return sorted(events, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")


@contextmanager
def _explained(server: str, what: str) -> Iterator[None]:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        raise _refusal(error.status, error.body, server, what) from error
    except HTTPError as error:
        raise UnreachableError(
            f"no answer from the API server {server}: {_one_line(error)}; is the cluster running (`kvctl dev status`)?"
        ) from error


def _refusal(status: int, body: str | bytes | None, server: str, what: str) -> ClusterError:
    try:
        said = json.loads(body or "{}")
    except ValueError:
        said = {}
    message = said.get("message") or f"it answered {status}"
    if status == 404 and said.get("details", {}).get("name"):
        return NotFoundError(f"there is no {what} ({server})")
    if status == 404:
        return NotFoundError(
            f"{server} knows no such kind as that of {what}; install it with `kvctl crd | kubectl apply -f -`"
        )
    if status in (401, 403):
        return ClusterError(f"no access to {what}: {message} ({server}; is this the right kubeconfig?)")
    return ClusterError(f"{server} refused {what}: {message}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

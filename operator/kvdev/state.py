"""Where a cluster's things are: its folder, its addresses, its processes (`cluster.json`). Starts and stops nothing.

Every part has a loopback address of its own, made from the cluster's slot, so ports never clash between clusters.
Other rooms get a `ClusterState` with `load(directory)`; only `cluster.py` writes one.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kvdev.errors import KvdevError, UnknownClusterError

SLOTS = range(16)
API_PORT = 6443
ENVOY_ADMIN_PORT = 9901
PROMETHEUS_PORT = 19090
GATEWAY_PORT = 8080
CLUSTER_VARIABLE = "KVDEV_CLUSTER"  # in the environment of every pod process: how `down` finds what an agent left
MAX_NODES = 250  # addresses .1 to .250
STATE_VARIABLE = "KVDEV_STATE"  # in the environment of every part: the cluster's folder
DEFAULT_REGIONS: Mapping[str, tuple[str, ...]] = {
    "eu-west": ("a", "b"),
    "us-east": ("a", "b"),
    "ap-south": ("a", "b"),
}


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that the cluster started. `started` is field 22 of /proc/PID/stat: it tells a recycled pid."""

    name: str
    pid: int
    started: int


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """One cluster; `regions` maps each region to its zones."""

    name: str
    slot: int
    regions: Mapping[str, tuple[str, ...]]
    directory: Path
    processes: tuple[Process, ...] = field(default=())

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def programs(self) -> Path:
        """Links to every part's program by its name: put it on PATH for kubectl."""
        return self.directory / "bin"

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def logs(self) -> Path:
        """Logs of the parts, `<part>.log`; the API server's audit log is `audit.log`. Pods' logs: see the agent."""
        return self.directory / "logs"

    @property
    def pods(self) -> Path:
        return self.directory / "pods"

    @property
    def volumes(self) -> Path:
        return self.directory / "volumes"

    @property
    def envoy(self) -> Path:
        """Envoy's bootstrap.json and its xDS files."""
        return self.directory / "envoy"

    @property
    def targets(self) -> Path:
        """Prometheus reads every `*.json` here (file_sd); the agent writes them."""
        return self.directory / "prometheus" / "targets"

    @property
    def plane_address(self) -> str:
        return self._address(16, 0, 1)

    @property
    def api_url(self) -> str:
        return f"https://{self.plane_address}:{API_PORT}"

    @property
    def envoy_admin_address(self) -> str:
        return self._address(16, 0, 2)

    @property
    def envoy_admin_url(self) -> str:
        return f"http://{self.envoy_admin_address}:{ENVOY_ADMIN_PORT}"

    @property
    def prometheus_address(self) -> str:
        return self._address(16, 0, 3)

    @property
    def prometheus_url(self) -> str:
        return f"http://{self.prometheus_address}:{PROMETHEUS_PORT}"

    def node_address(self, index: int) -> str:
        """Address of the node that stands at `index` (from 0) in `node_names`."""
        return self._address(32, 0, index + 1)

    def gateway_address(self, index: int) -> str:
        """Address of the Gateway of the region that stands at `index` (from 0) in `regions`."""
        return self._address(48, 0, index + 1)

    @property
    def node_names(self) -> tuple[str, ...]:
        """`<region>-<zone>` of every node, in the order of their addresses."""
        return tuple(f"{region}-{zone}" for region, zones in self.regions.items() for zone in zones)

    @property
    def pod_network(self) -> str:
        """First two numbers of every pod's address; the agent chooses the other two."""
        return f"127.{64 + self.slot}"

    @property
    def service_cidr(self) -> str:
        return f"127.{96 + self.slot}.0.0/16"

    def _address(self, base: int, third: int, fourth: int) -> str:
        return f"127.{base + self.slot}.{third}.{fourth}"

    def save(self) -> None:
        """Write `cluster.json` in one step: a reader sees the old or the new one."""
        path = self.directory / "cluster.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({**asdict(self), "directory": str(self.directory)}, indent=1))
        partial.rename(path)


def load(directory: Path) -> ClusterState:
    """The cluster whose folder this is; UnknownClusterError when there is none, KvdevError when its file is damaged."""
    path = directory / "cluster.json"
    try:
        data = json.loads(path.read_text())
        return ClusterState(
            name=data["name"],
            slot=data["slot"],
            regions={region: tuple(zones) for region, zones in data["regions"].items()},
            directory=directory,
            processes=tuple(Process(**process) for process in data["processes"]),
        )
    except FileNotFoundError:
        raise UnknownClusterError(
            f"no cluster named {directory.name} here ({path} is missing); "
            f"start one with: kvctl dev up --name {directory.name}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise KvdevError(
            f"{path} is damaged ({error!r}); remove the cluster with: kvctl dev down --name {directory.name}"
        ) from None


def home() -> Path:
    """The folder that holds one folder for each cluster of this user."""
    return _xdg("XDG_STATE_HOME", ".local/state") / "kvdev"


def cache_home() -> Path:
    """The folder for what was downloaded or compiled, shared by all clusters of this user."""
    return _xdg("XDG_CACHE_HOME", ".cache") / "kvcluster"


def directory_of(name: str) -> Path:
    """The folder of the cluster of that name, there or not. The name becomes a path, so it is checked."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise KvdevError(f"{name!r} cannot name a cluster: use 1 to 32 lower-case letters, digits and inner hyphens")
    return home() / name


def checked_regions(regions: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The same, when a cluster can be made of it: nodes and labels are named after regions and zones."""
    for region, zones in regions.items():
        for name in (region, *zones):
            if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", name):
                raise KvdevError(
                    f"{name!r} cannot name a region or zone: use 1 to 20 lower-case letters, digits and inner hyphens"
                )
        if not zones or len(set(zones)) < len(zones):
            raise KvdevError(f"region {region} has the zones {list(zones)}; expected at least one, each once")
    if not 0 < sum(map(len, regions.values())) <= MAX_NODES:
        raise KvdevError(f"expected 1 to {MAX_NODES} zones in all: each is a node")
    return {region: tuple(zones) for region, zones in regions.items()}


def _xdg(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default)

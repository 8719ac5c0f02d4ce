"""What each part is started with: its command line, and the configuration files it reads. Starts nothing."""

import json
import sys
from collections.abc import Callable

import yaml

from kvdev.errors import UnknownClusterError
from kvdev.gateway import envoy
from kvdev.plane.pki import kubeconfig_of
from kvdev.state import API_PORT, ENVOY_ADMIN_PORT, PROMETHEUS_PORT, ClusterState

ETCD_PORT, ETCD_PEER_PORT, CONTROLLERS_PORT, SCHEDULER_PORT = 2379, 2380, 10257, 10259
# Their objects would hold pods' loopback addresses, which the API server refuses; the agent routes by selectors.
CONTROLLERS = "*,-endpointslice-controller,-endpointslice-mirroring-controller,-endpoints-controller"
AUDIT_POLICY = {  # every write, but for the nodes' heartbeats
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {
            "level": "None",
            "namespaces": ["kube-node-lease"],
            "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}],
        },
        {"level": "Metadata"},
    ],
}
SCRAPING = {
    "global": {"scrape_interval": "1s", "scrape_timeout": "900ms"},
    "scrape_configs": [{"job_name": "pods", "file_sd_configs": [{"files": ["targets/*.json"]}]}],
}


def of(part: str, state: ClusterState) -> list[str]:
    """The command line of that part; UnknownClusterError names the parts there are."""
    if part not in COMMANDS:
        raise UnknownClusterError(f"there is no part {part!r}; the parts are {', '.join(COMMANDS)}")
    return COMMANDS[part](state)


def write_configuration(state: ClusterState) -> None:
    """The files that the command lines name; the keys are `pki.write`'s."""
    for folder in (state.logs, state.pods, state.volumes, state.envoy, state.targets):
        folder.mkdir(parents=True, exist_ok=True)
    (state.directory / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
    (state.targets.parent / "prometheus.yml").write_text(yaml.safe_dump(SCRAPING))
    bootstrap = envoy.bootstrap(state.envoy, state.envoy_admin_address, ENVOY_ADMIN_PORT, state.name)
    (state.envoy / "bootstrap.json").write_text(json.dumps(bootstrap, indent=1))


def _etcd(state: ClusterState) -> list[str]:
    client = f"https://{state.plane_address}:{ETCD_PORT}"
    peer = f"https://{state.plane_address}:{ETCD_PEER_PORT}"
    return [
        f"{state.programs}/etcd",
        "--name=kvdev",
        f"--data-dir={state.directory}/etcd",
        "--unsafe-no-fsync",  # it is a development cluster: it starts fresh after a crash of the machine
        "--log-level=warn",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=kvdev={peer}",
        *(
            f"--{end}{flag}"
            for end in ("", "peer-")
            for flag in (
                "client-cert-auth",
                f"trusted-ca-file={state.pki}/ca.crt",
                f"cert-file={state.pki}/etcd.crt",
                f"key-file={state.pki}/etcd.key",
            )
        ),
    ]


def _apiserver(state: ClusterState) -> list[str]:
    return [
        f"{state.programs}/kube-apiserver",
        f"--etcd-servers=https://{state.plane_address}:{ETCD_PORT}",
        f"--etcd-cafile={state.pki}/ca.crt",
        f"--etcd-certfile={state.pki}/etcd.crt",
        f"--etcd-keyfile={state.pki}/etcd.key",
        f"--bind-address={state.plane_address}",
        f"--advertise-address={state.plane_address}",
        f"--secure-port={API_PORT}",
        *_certificate(state),
        f"--token-auth-file={state.pki}/tokens.csv",
        "--anonymous-auth=false",
        "--authorization-mode=RBAC",
        f"--service-account-key-file={state.pki}/service-accounts.key",
        f"--service-account-signing-key-file={state.pki}/service-accounts.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={state.service_cidr}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={state.pki}/ca.crt",
        f"--kubelet-client-certificate={state.pki}/plane.crt",
        f"--kubelet-client-key={state.pki}/plane.key",
        "--endpoint-reconciler-type=none",  # a loopback address is refused in Endpoints
        f"--audit-policy-file={state.directory}/audit-policy.json",
        f"--audit-log-path={state.logs}/audit.log",
        "--audit-log-maxsize=100",
        "--audit-log-maxbackup=1",
        "--profiling=false",
    ]


def _controllers(state: ClusterState) -> list[str]:
    return [
        *_client_of_plane(state, "kube-controller-manager", CONTROLLERS_PORT),
        f"--controllers={CONTROLLERS}",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={state.pki}/service-accounts.key",
        f"--root-ca-file={state.pki}/ca.crt",
        "--node-monitor-grace-period=8s",  # a dead node is seen while somebody watches a drill
        "--node-monitor-period=1s",
    ]


def _scheduler(state: ClusterState) -> list[str]:
    return _client_of_plane(state, "kube-scheduler", SCHEDULER_PORT)


def _client_of_plane(state: ClusterState, name: str, port: int) -> list[str]:
    kubeconfig = kubeconfig_of(state, name)
    return [
        f"{state.programs}/{name}",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={state.plane_address}",
        f"--secure-port={port}",
        *_certificate(state),
        "--leader-elect=false",
        "--profiling=false",
    ]


def _certificate(state: ClusterState) -> list[str]:
    return [f"--tls-cert-file={state.pki}/plane.crt", f"--tls-private-key-file={state.pki}/plane.key"]


def _envoy(state: ClusterState) -> list[str]:
    bootstrap = f"{state.envoy}/bootstrap.json"
    return [f"{state.programs}/envoy", "--config-path", bootstrap, "--log-level", "warning", *envoy.FLAGS]


def _prometheus(state: ClusterState) -> list[str]:
    folder = state.targets.parent
    return [
        f"{state.programs}/prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        "--storage.tsdb.retention.time=6h",
        f"--web.listen-address={state.prometheus_address}:{PROMETHEUS_PORT}",
        "--log.level=warn",
    ]


def _agent(state: ClusterState) -> list[str]:
    return [sys.executable, "-m", "kvdev.agent", "--state", str(state.directory)]


COMMANDS: dict[str, Callable[[ClusterState], list[str]]] = {
    "etcd": _etcd,
    "kube-apiserver": _apiserver,
    "kube-controller-manager": _controllers,
    "kube-scheduler": _scheduler,
    "envoy": _envoy,
    "prometheus": _prometheus,
    "agent": _agent,
}

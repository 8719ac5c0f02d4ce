"""Envoy's own words: its bootstrap, and the builders of its resources. Pure but for `bootstrap`'s empty first files.

Envoy reads everything from files in one folder: `lds/` and `cds/` hold one file each, `rds/` one a route
configuration, `eds/` one a cluster (Envoy takes exactly one resource from an EDS file). `xds.py` writes them.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Resource = dict[str, Any]

FLAGS = ("--disable-hot-restart", "--concurrency", "2", "--drain-time-s", "2", "--file-flush-interval-msec", "200")
"""What to start Envoy with, besides `-c`: side by side with others, quick to stop, its access log soon on disk."""

ROUTE_TIMEOUT = "15s"
CONNECT_TIMEOUT = "1s"
UPSTREAM_IDLE = "2s"  # shorter than servers' keep-alive (uvicorn: 5 s): no request meets a connection being closed
MAX_RETRIES = 1024  # at once, per cluster; Envoy's default of 3 would fail requests when a busy pod is gone

_V3 = "type.googleapis.com/envoy"
_EXTENSIONS = f"{_V3}.extensions"
_NOT_THE_SAME_HOST = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {"@type": f"{_EXTENSIONS}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
}
FILE_OF = {"listeners": "lds/lds.json", "clusters": "cds/cds.json"}


def file_of(kind: str, name: str) -> str:
    """Path of a resource's file in Envoy's folder. Kubernetes names hold no underscore, so no two names meet."""
    return FILE_OF.get(kind) or f"{ {'routes': 'rds', 'endpoints': 'eds'}[kind] }/{name.replace('/', '_')}.json"


def document(resources: Iterable[Resource]) -> tuple[str, str]:
    """(version, text) of an xDS file. Equal resources make equal versions: Envoy ignores a version without a change."""
    body = list(resources)
    version = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
    return version, json.dumps({"version_info": version, "resources": body}, indent=1)


def bootstrap(directory: Path, admin: str, admin_port: int, node: str) -> Resource:
    """Envoy's start configuration, for `directory` as the home of its files; `admin` is the admin port's address.

    Puts empty files there where none are: Envoy refuses to start without them.
    """
    _, empty = document([])
    for folder in ("lds", "cds", "rds", "eds"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    for path in (directory / file for file in FILE_OF.values()):
        if not path.exists():
            path.write_text(empty)
    return {
        "node": {"id": node, "cluster": "kvdev"},
        "admin": {"address": _address(admin, admin_port)},
        "dynamic_resources": {
            "lds_config": _source(directory, FILE_OF["listeners"]),
            "cds_config": _source(directory, FILE_OF["clusters"]),
        },
    }


def cluster(directory: Path, name: str) -> Resource:
    """A Service's port. An endpoint that leaves drains: it ends its requests and gets no new one."""
    return {
        "@type": f"{_V3}.config.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": _source(directory, file_of("endpoints", name))},
        "connect_timeout": CONNECT_TIMEOUT,
        "lb_policy": "LEAST_REQUEST",
        "ignore_health_on_host_removal": True,
        "circuit_breakers": {"thresholds": [{"max_retries": MAX_RETRIES}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": UPSTREAM_IDLE},
            }
        },
    }


def endpoints(name: str, addresses: Iterable[tuple[str, int]]) -> Resource:
    return {
        "@type": f"{_V3}.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(*address)}} for address in addresses]}],
    }


def tcp_listener(name: str, address: str, port: int, cluster_name: str) -> Resource:
    """A Service's ClusterIP:port."""
    proxy = {
        "@type": f"{_EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "service",
        "cluster": cluster_name,
        "max_connect_attempts": 3,
        "idle_timeout": "0s",
    }
    return _listener(name, address, port, {"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy})


def http_listener(directory: Path, name: str, address: str, port: int, routes: str) -> Resource:
    """A Gateway's port; `routes` names its route configuration, and its statistics."""
    router = {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"}
    manager = {
        "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": routes,
        "rds": {"route_config_name": routes, "config_source": _source(directory, file_of("routes", routes))},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        "server_header_transformation": "PASS_THROUGH",  # the pods' Server header names their build
        "access_log": [_failures(directory / "access.log")],
    }
    name_of_filter = "envoy.filters.network.http_connection_manager"
    return _listener(name, address, port, {"name": name_of_filter, "typed_config": manager})


READS: Resource = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}


def route_configuration(name: str, hosts: Mapping[str, list[Resource]]) -> Resource:
    """Host -> its routes in order. A Host header matches with or without its port."""
    return {
        "@type": f"{_V3}.config.route.v3.RouteConfiguration",
        "name": name,
        "ignore_port_in_host_matching": True,
        "virtual_hosts": [{"name": host, "domains": [host], "routes": routes} for host, routes in hosts.items()],
    }


def forward(name: str, match: Resource, weighted: list[tuple[str, int]], *, reads: bool) -> Resource:
    """A route to clusters by weight (not all 0). A cluster that is not there answers its share with 500.

    Tried again, elsewhere, is what surely reached no pod; reads also when the connection broke.
    """
    lost = "reset" if reads else "reset-before-request"
    action = {
        "weighted_clusters": {"clusters": [{"name": cluster_, "weight": weight} for cluster_, weight in weighted]},
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
        "timeout": ROUTE_TIMEOUT,
        "retry_policy": {
            "retry_on": f"connect-failure,refused-stream,{lost}",
            "num_retries": 2,
            "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
            "retry_host_predicate": [_NOT_THE_SAME_HOST],
            # Least-request likes the dead host best, for it has no request: 5 draws in a row may all be it.
            "host_selection_retry_max_attempts": 20,
        },
    }
    return {"name": name, "match": match, "route": action}


def refuse(name: str, match: Resource) -> Resource:
    """A route without a backend that may get traffic."""
    return {"name": name, "match": match, "direct_response": {"status": 500}}


def _failures(path: Path) -> Resource:
    """Access log of what failed, a JSON object a line. The rest is only counted (`observe.py`): the file is small."""
    fields = {
        "time": "%START_TIME%",
        "host": "%REQ(:AUTHORITY)%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(:PATH)%",
        "code": "%RESPONSE_CODE%",
        "duration_ms": "%DURATION%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "upstream": "%UPSTREAM_HOST%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
    }
    server_error = {"comparison": {"op": "GE", "value": {"default_value": 500, "runtime_key": "kvdev.log_from"}}}
    return {
        "name": "envoy.access_loggers.file",
        "filter": {"or_filter": {"filters": [{"status_code_filter": server_error}, {"response_flag_filter": {}}]}},
        "typed_config": {
            "@type": f"{_EXTENSIONS}.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": fields},
        },
    }


def _listener(name: str, address: str, port: int, filter_: Resource) -> Resource:
    return {
        "@type": f"{_V3}.config.listener.v3.Listener",
        "name": name,
        "address": _address(address, port),
        "filter_chains": [{"filters": [filter_]}],
    }


def _address(address: str, port: int) -> Resource:
    return {"socket_address": {"address": address, "port_value": port}}


def _source(directory: Path, file: str) -> Resource:
    """Without `watched_directory`: with it, each file of a folder would be read again when any of them is replaced."""
    return {"path_config_source": {"path": str(directory / file)}, "resource_api_version": "V3"}

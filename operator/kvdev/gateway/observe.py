"""What Envoy itself says it does, read from its admin port: weights in effect, requests by code, versions accepted.

For the demo and the tests, which take nobody's word for it, and for the statuses that the gateway writes.
Counters start with Envoy and those of a cluster end with it: sample while a revision is there.
"""

import json
import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from kvdev.errors import KvdevError

TIMEOUT_S = 2.0
CODE_CLASSES = ("2xx", "3xx", "4xx", "5xx")
_SUBSCRIPTIONS = {"cluster_manager.cds": "cds", "listener_manager.lds": "lds"}
_STATE = r"(\.rds\..*|_manager\.[cl]ds)\.(version_text|update_rejected|update_failure)$|warming_clusters$"
_COUNT = re.compile(r"(?:cluster|http)\.(?P<name>.+/\d+)\.(?:up|down)stream_rq_(?P<code>[2-5]xx): (?P<count>\d+)")


class SilentEnvoyError(KvdevError):
    """Envoy's admin port gives no answer."""


@dataclass(frozen=True)
class RouteConfig:
    """A route configuration that is in effect: cluster -> weight, since `last_updated`."""

    weights: dict[str, int]
    version: str
    last_updated: datetime


@dataclass(frozen=True)
class Subscription:
    """What Envoy made of one file: the version in effect, and how often it refused a new one."""

    version: str = ""
    refusals: int = 0


@dataclass(frozen=True)
class Accepted:
    """Envoy's state of mind. Keys of `files`: "cds", "lds" and the names of route configurations."""

    files: dict[str, Subscription]
    warming: int  # clusters that do not serve yet


async def weights(admin_url: str) -> dict[str, dict[str, int]]:
    """Route configuration (`<gateway namespace>/<gateway>/<port>`) -> cluster (`<namespace>/<service>/<port>`) ->
    weight in effect. Where several rules name one cluster, the first counts. SilentEnvoyError."""
    return {name: config.weights for name, config in (await route_configs(admin_url)).items()}


async def route_configs(admin_url: str) -> dict[str, RouteConfig]:
    """`weights` with version and time of the last change, by route configuration. SilentEnvoyError."""
    dump = json.loads(await _get(admin_url, "/config_dump?resource=dynamic_route_configs"))
    configs = (_route_config(entry) for entry in dump.get("configs", []))
    return dict(configs)


async def requests(admin_url: str) -> dict[str, dict[str, int]]:
    """Cluster -> code class ("2xx" to "5xx") -> requests its pods answered, or failed to. SilentEnvoyError."""
    return _by_class(await _get(admin_url, _stats(r"^cluster\..*\.upstream_rq_[2-5]xx$")))


async def responses(admin_url: str) -> dict[str, dict[str, int]]:
    """Route configuration -> code class -> responses that clients got, Envoy's own included. SilentEnvoyError."""
    return _by_class(await _get(admin_url, _stats(r"^http\..*\.downstream_rq_[2-5]xx$")))


async def accepted(admin_url: str) -> Accepted:
    """What Envoy has taken of the files it was given. SilentEnvoyError."""
    files: dict[str, Subscription] = {}
    warming = 0
    for line in (await _get(admin_url, _stats(_STATE))).splitlines():
        stat, _, value = line.partition(": ")
        if stat.endswith("warming_clusters"):
            warming += int(value)
            continue
        scope, _, what = stat.rpartition(".")
        name = _SUBSCRIPTIONS.get(scope) or scope.partition(".rds.")[2]
        known = files.get(name, Subscription())
        if what == "version_text":
            files[name] = replace(known, version=value.strip('"'))
        else:
            files[name] = replace(known, refusals=known.refusals + int(value))
    return Accepted(files, warming)


def _route_config(entry: dict[str, Any]) -> tuple[str, RouteConfig]:
    config = entry["route_config"]
    found: dict[str, int] = {}
    for host in config.get("virtual_hosts", []):
        for route in host.get("routes", []):
            for cluster in route.get("route", {}).get("weighted_clusters", {}).get("clusters", []):
                found.setdefault(cluster["name"], cluster.get("weight", 0))
    since = datetime.fromisoformat(entry["last_updated"])
    return config["name"], RouteConfig(found, entry.get("version_info", ""), since)


def _by_class(stats: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for line in stats.splitlines():
        match = _COUNT.match(line)
        if match:
            found.setdefault(match["name"], dict.fromkeys(CODE_CLASSES, 0))[match["code"]] = int(match["count"])
    return found


def _stats(pattern: str) -> str:
    return f"/stats?filter={quote(pattern)}"


async def _get(admin_url: str, path: str) -> str:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
            session.get(URL(admin_url + path, encoded=True)) as response,
        ):
            response.raise_for_status()
            return await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SilentEnvoyError(
            f"no answer from Envoy's admin port {admin_url} ({type(error).__name__}: {error}); "
            "see the end of its log, logs/envoy.log"
        ) from error

"""Where a load goes: the regions' Gateways, asked of the KVCluster, or urls as given."""

from typing import Any
from urllib.parse import urlsplit

from kvctl.errors import TargetError, UsageError
from kvctl.kube import Kube
from kvctl.load.client import Target
from kvoperator.core.naming import hostname

GATEWAY = ("gateway.networking.k8s.io", "v1", "gateways", "Gateway")


def of_cluster(kube: Kube, name: str, only: list[str]) -> list[Target]:
    """One target a region of the KVCluster, or of those in `only`."""
    regions = kube.cluster(name)["spec"]["regions"]
    known = [region["name"] for region in regions]
    if unknown := sorted(set(only) - set(known)):
        raise UsageError(f"--region {', '.join(unknown)}: {name} has {', '.join(known)}")
    wanted = [region for region in regions if not only or region["name"] in only]
    return [_of_region(kube, region, hostname(name, kube.namespace)) for region in wanted]


def _of_region(kube: Kube, region: dict[str, Any], host: str) -> Target:
    reference = region.get("gateway") or {"name": region["name"]}
    namespace = reference.get("namespace") or kube.namespace
    gateway = kube.read(*GATEWAY, namespace, reference["name"])
    addresses = [address["value"] for address in gateway.get("status", {}).get("addresses", [])]
    listeners = [one for one in gateway["spec"]["listeners"] if one["protocol"] == "HTTP"]
    if not addresses or not listeners:
        missing = "no address in its status yet" if listeners else "no HTTP listener"
        raise TargetError(
            f"Gateway {reference['name']} in namespace {namespace} has {missing}; is its controller running?"
        )
    return Target(region["name"], f"http://{addresses[0]}:{listeners[0]['port']}", host)


def of_url(url: str) -> Target:
    """The url itself as a region of its own."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise UsageError(f"--url {url!r} is no address; write scheme, host and port, such as http://127.0.0.1:8080")
    return Target(parts.netloc, f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")

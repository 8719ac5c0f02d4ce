"""The sizes of a plan as a KVCluster has them."""

import math
from typing import Any

import yaml

from kvplan.plan.outcome import Plan


def fragment(plan: Plan) -> str:
    """YAML to write into the manifest: what the first month needs. Cache and storage are one for all regions, as large
    as the largest."""
    sizes = plan.months[0].sizes
    spec: dict[str, Any] = {"regions": [{"name": size.region, "replicas": size.pods} for size in sizes]}
    memory = math.ceil(max(size.cache_bytes for size in sizes) / 2**20)
    spec["cache"] = {"shards": max(size.cache_shards for size in sizes), "memory": f"{memory}Mi"}
    disk = math.ceil(max(size.disk_bytes for size in sizes) / 2**30)
    spec["storage"] = {"cassandra": {"nodesPerRegion": max(size.store_nodes for size in sizes), "size": f"{disk}Gi"}}
    return yaml.safe_dump({"spec": spec}, sort_keys=False, default_flow_style=None, width=100).rstrip()

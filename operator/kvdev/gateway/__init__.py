"""The embedded cluster's service proxy and gateway: Envoy, driven by Services and Gateway API routes.

services, routes -> plan (what Envoy is to be, pure) -> xds (its files) -> Envoy -> report (statuses, once true)
"""

from kvdev.gateway.envoy import FLAGS, bootstrap
from kvdev.gateway.gateway import Gateway

__all__ = ["FLAGS", "Gateway", "bootstrap"]

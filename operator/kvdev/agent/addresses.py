"""Pods' addresses, and the names of Services and pods as addresses: what IPAM and DNS are elsewhere.

A pod's address follows from its namespace and name, so that a StatefulSet's pod keeps its address when it is made
anew, and can be named before it runs. The rare pod whose address is taken gets the next free one.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from kvdev.errors import KvdevError

Object = dict[str, Any]
Key = tuple[str, str]

_HOSTS = 254  # the last number of an address is 1 to 254, the one before it 0 to 255
_SIZE = 256 * _HOSTS


class Addresses:
    """`network` is the first half of every address; `services` and `pods` are live collections of the API's objects."""

    def __init__(self, network: str, services: Mapping[Key, Object], pods: Mapping[Key, Object]) -> None:
        self._network, self._services, self._pods = network, services, pods
        self._of: dict[Key, str] = {}
        self._taken: dict[str, Key] = {}

    def of(self, namespace: str, name: str, *, known: str = "") -> str:
        """The pod's address; `known` is the one that its status tells already."""
        key = (namespace, name)
        if key not in self._of:
            address = known if known and known not in self._taken else self._free(key)
            self._of[key], self._taken[address] = address, key
        return self._of[key]

    def release(self, namespace: str, name: str) -> None:
        if address := self._of.pop((namespace, name), None):
            del self._taken[address]

    def resolve(self, namespace: str, service: str, pod: str | None) -> str | None:
        """Address that `[pod.]service.namespace.svc` stands for; None when the Service is not there (or has no pod)."""
        obj = self._services.get((namespace, service))
        if obj is None:
            return None
        if pod:
            return self.of(namespace, pod)
        spec = obj["spec"]
        if spec.get("type") == "ExternalName":
            return str(spec["externalName"])
        if spec.get("clusterIP") not in (None, "", "None"):
            return str(spec["clusterIP"])
        return self._first_pod(namespace, spec.get("selector") or {})

    def _first_pod(self, namespace: str, selector: Mapping[str, str]) -> str | None:
        """A headless Service stands for its first pod by name: a text has room for one address."""
        chosen = (
            name
            for (where, name), pod in sorted(self._pods.items())
            if where == namespace and selector and selector.items() <= (pod["metadata"].get("labels") or {}).items()
        )
        name = next(chosen, None)
        return self.of(namespace, name) if name else None

    def _free(self, key: Key) -> str:
        start = int.from_bytes(hashlib.sha256("/".join(key).encode()).digest()[:4]) % _SIZE
        for number in range(start, start + _SIZE):
            third, last = divmod(number % _SIZE, _HOSTS)
            address = f"{self._network}.{third}.{last + 1}"
            if address not in self._taken:
                return address
        raise KvdevError(f"all {_SIZE} pod addresses of {self._network}.0.0/16 are in use; delete some pods")

"""A region as a system of stations: how a request of `kvservice` goes through gateway, pod, cache and store.

hit    pod, cache, pod
miss   pod, cache (get), pod, cache (lease), pod, store (read), pod, cache (fill, which the answer waits for), pod
write  pod, store (read: what there is), pod, store (write), pod, cache (set-if-newer), pod

A read of the store is sent to exactly a quorum of the copies and needs them all; a write is sent to all and needs a
quorum. Pods ask a node that has a copy (the driver is token-aware), and it asks the others. Every region's store also
takes the writes of the other regions: the class `replicated`, whose latency no client sees. The gateway grows with the
load by itself, as load balancers of clouds do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from kvplan.errors import InputError
from kvplan.laws import Deterministic, Law, LogNormal
from kvplan.plan.inputs import Inputs, Region, Time, mid
from kvplan.plan.outcome import RegionSize
from kvplan.system import Class, Pause, Station, Step, System, Visit

CLIENT, GATEWAY, POD, CACHE, STORE = "client network", "gateway", "pod", "cache", "store"
REPLICATED = "replicated"

GATEWAY_LEAST = 2  # servers: one may go
GATEWAY_LOAD = 0.5  # of its servers, when it carries a lost region's load, too


def system(
    inputs: Inputs,
    size: RegionSize,
    *,
    region: Region,
    rate: float,
    hit_rate: float,
    share: float | None = None,
    zones_lost: int = 0,
    inside_pod: bool = False,
) -> System:
    """The region with `rate` requests/s of its clients, of whose reads the part `hit_rate` hits.

    `share`: of the world's requests that are these, by default the region's own; the rest is written elsewhere.
    `zones_lost`: so many zones' part of `size` is gone. `inside_pod`: latency as a pod's own histogram sees it, from
    the first service on, without gateway and network. Raises InputError if a quorum needs more nodes than are left, or
    if no pod is.
    """
    if zones_lost and size.pods <= -(-size.pods // region.zones) * zones_lost:
        raise InputError(f"{size.pods} pod is in one zone, and gone with it; 2 or more are needed to lose a zone")
    left = without_zones(size, region.zones, zones_lost)
    reads = inputs.workload.reads
    elsewhere = (1 - reads) * (1 / (share or region.share) - 1)  # writes there, for each request here
    path = _Path(inputs, region.zones, copies_left(inputs, region, zones_lost))
    shares = {"hit": reads * hit_rate, "miss": reads * (1 - hit_rate), "write": 1 - reads}
    way_in = () if inside_pod else path.way_in
    classes = [
        Class(name, each / (1 + elsewhere), way_in + path.steps(name), from_service=inside_pod)
        for name, each in shares.items()
        if each > 0
    ]
    if elsewhere > 0:
        classes.append(Class(REPLICATED, elsewhere / (1 + elsewhere), path.replicated, counted=False))
    stations = (
        Station(GATEWAY, servers=gateway_servers(inputs, region)),
        Station(POD, pools=left.pods, balancing=inputs.balancing, in_turns=True),
        Station(CACHE, pools=left.cache_shards),
        Station(STORE, servers=inputs.storage.concurrency, pools=left.store_nodes),
    )
    return System(rate * (1 + elsewhere), stations[1:] if inside_pod else stations, tuple(classes))


def without_zones(size: RegionSize, zones: int, lost: int) -> RegionSize:
    """What is left if the fullest `lost` zones are gone: pods, shards and nodes are spread as evenly as may be."""

    def left(count: int) -> int:
        return max(count - -(-count // zones) * lost, 1)

    return replace(size, pods=left(size.pods), cache_shards=left(size.cache_shards), store_nodes=left(size.store_nodes))


def copies_left(inputs: Inputs, region: Region, zones_lost: int) -> int:
    """Of a record in the region, if its copies are in different zones as far as there are enough."""
    return inputs.storage.copies - -(-inputs.storage.copies // region.zones) * zones_lost


def quorum(inputs: Inputs) -> int:
    return inputs.storage.copies // 2 + 1


def share_with_region_lost(inputs: Inputs, region: Region) -> float:
    """Of the world's requests, when the largest other region is lost and the rest take its part in proportion."""
    others = [other.share for other in inputs.regions if other.name != region.name]
    return region.share / (1 - max(others, default=0.0))


def gateway_servers(inputs: Inputs, region: Region) -> int:
    rate = mid(inputs.workload.peak_qps) * share_with_region_lost(inputs, region)
    return max(math.ceil(rate * mid(inputs.service.gateway.mean) / GATEWAY_LOAD), GATEWAY_LEAST)


@dataclass(frozen=True)
class _Path:
    """The steps of each class, between `zones` zones, with `copies` of a record left."""

    inputs: Inputs
    zones: int
    copies: int

    @property
    def way_in(self) -> tuple[Step, ...]:
        service = self.inputs.service
        return (
            Pause(CLIENT, service.client_network.law()),
            Visit(GATEWAY, service.gateway.law()),
            Pause("gateway to pod", self._hop),
        )

    def steps(self, name: str) -> tuple[Step, ...]:
        service = self.inputs.service
        cache = Visit(CACHE, service.cache.law(), hop=self._hop)
        match name:
            case "hit":
                return self._around(service.pod_read, [(cache,)])
            case "miss":
                return self._around(service.pod_miss, [(cache,), (cache,), self._read_store, (cache,)])
            case _:
                return self._around(service.pod_write, [self._read_store, self._write_store, (cache,)])

    @property
    def replicated(self) -> tuple[Step, ...]:
        """The store takes it, and the relay puts it into the cache."""
        service = self.inputs.service
        stored = Visit(STORE, service.store_write.law(), copies=self.copies, needed=self.copies, hop=self._between)
        return (stored, Visit(CACHE, service.cache.law()))

    @property
    def _read_store(self) -> tuple[Step, ...]:
        needed = quorum(self.inputs)
        law = self.inputs.service.store_read.law()
        return (self._coordinator, Visit(STORE, law, copies=needed, needed=needed, hop=self._between))

    @property
    def _write_store(self) -> tuple[Step, ...]:
        law = self.inputs.service.store_write.law()
        needed = min(quorum(self.inputs), self.copies)
        return (self._coordinator, Visit(STORE, law, copies=self.copies, needed=needed, hop=self._between))

    @property
    def _coordinator(self) -> Step:
        return Pause("coordinator", self._hop)

    @cached_property
    def _hop(self) -> Law:
        """There and back between two places of the region, in the same zone by chance only."""
        return _either(self.inputs.service.zone_hop, self.inputs.service.cross_zone_hop, 1 - 1 / self.zones)

    @property
    def _between(self) -> Law:
        """From the coordinator to the other copies, which are in other zones; its own copy is taken as one of them."""
        service = self.inputs.service
        return (service.cross_zone_hop if self.zones > 1 else service.zone_hop).law()

    def _around(self, work: Time, outside: Sequence[tuple[Step, ...]]) -> tuple[Step, ...]:
        """The pod's work in equal parts, before, between and after what it waits for."""
        part = Visit(POD, work.law(mid(work.mean) / (len(outside) + 1)))
        return (part, *(step for steps in outside for step in (*steps, part)))


def _either(one: Time, other: Time, share: float) -> Law:
    """The law of `other` for `share` of the cases, else of `one`: lognormal with the same mean and CV."""
    laws = ((1 - share, one.law()), (share, other.law()))
    mean = sum(part * law.mean for part, law in laws)
    second = sum(part * law.mean**2 * (1 + law.scv) for part, law in laws)
    scv = second / mean**2 - 1
    return LogNormal(mean, math.sqrt(scv)) if scv > 1e-12 else Deterministic(mean)

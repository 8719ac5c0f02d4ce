"""A pod's counters, out of its metrics: only those that a calibration needs, by what they mean. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

REQUESTS, CPU = "kv_http_requests_total", "process_cpu_seconds_total"
FILLING, DURATION, STORE = "kv_filling_total", "kv_http_request_duration_seconds", "kv_store_op_duration_seconds"
NAMES = (
    REQUESTS,
    CPU,
    FILLING,
    *(f"{base}_{part}" for base in (DURATION, STORE) for part in ("bucket", "sum", "count")),
)
_READ, _WRITTEN = ("GET", "HEAD"), ("PUT", "PATCH", "DELETE")


class Sample(NamedTuple):
    name: str
    labels: Mapping[str, str]
    value: float


@dataclass
class Times:
    """A histogram of seconds. `below`: upper edge -> how many were not above it."""

    below: dict[float, float] = field(default_factory=dict)
    sum_s: float = 0.0
    count: float = 0.0

    @property
    def mean_s(self) -> float:
        return self.sum_s / self.count

    def add(self, kind: str, edge: str, value: float) -> None:
        match kind:
            case "bucket":
                self.below[float(edge)] = self.below.get(float(edge), 0.0) + value
            case "sum":
                self.sum_s += value
            case "count":
                self.count += value

    def plus(self, other: "Times", sign: float = 1.0) -> "Times":
        edges = {*self.below, *other.below}
        below = {edge: self.below.get(edge, 0.0) + sign * other.below.get(edge, 0.0) for edge in edges}
        return Times(below, self.sum_s + sign * other.sum_s, self.count + sign * other.count)


def _times() -> Times:
    return Times()


@dataclass
class Counts:
    """`hits`: reads answered by a fresh copy; `misses`: all other reads of a record; `other`: requests of other kinds.
    `reads_s`, `writes_s`: how long requests took in the pod; `store_reads_s`, `store_writes_s`: the store, for it."""

    cpu_s: float = 0.0
    hits: float = 0.0
    reads: float = 0.0
    writes: float = 0.0
    other: float = 0.0
    reads_s: Times = field(default_factory=_times)
    writes_s: Times = field(default_factory=_times)
    store_reads_s: Times = field(default_factory=_times)
    store_writes_s: Times = field(default_factory=_times)

    @property
    def misses(self) -> float:
        return max(self.reads - self.hits, 0.0)

    @property
    def requests(self) -> float:
        return self.reads + self.writes + self.other

    def plus(self, other: "Counts", sign: float = 1.0) -> "Counts":
        return Counts(
            self.cpu_s + sign * other.cpu_s,
            self.hits + sign * other.hits,
            self.reads + sign * other.reads,
            self.writes + sign * other.writes,
            self.other + sign * other.other,
            self.reads_s.plus(other.reads_s, sign),
            self.writes_s.plus(other.writes_s, sign),
            self.store_reads_s.plus(other.store_reads_s, sign),
            self.store_writes_s.plus(other.store_writes_s, sign),
        )

    def since(self, earlier: "Counts") -> "Counts":
        return self.plus(earlier, -1.0)


def counts(samples: Iterable[Sample]) -> Counts | None:
    """None: these are not the metrics of a pod of this service, or of one that does not count its CPU yet."""
    found, seen = Counts(), set[str]()
    for name, labels, value in samples:
        seen.add(name)
        if name == CPU:
            found.cpu_s += value
        elif name == FILLING and labels["event"] == "fresh":
            found.hits += value
        elif name == REQUESTS:
            _add_requests(found, labels, value)
        elif name.startswith(DURATION) and labels["route"] == "record":
            times = found.reads_s if labels["method"] in _READ else found.writes_s
            times.add(name.rpartition("_")[2], labels.get("le", ""), value)
        elif name.startswith(STORE) and labels["op"] in ("read", "write"):
            times = found.store_reads_s if labels["op"] == "read" else found.store_writes_s
            times.add(name.rpartition("_")[2], labels.get("le", ""), value)
    return found if {REQUESTS, CPU, FILLING} <= seen else None


def _add_requests(found: Counts, labels: Mapping[str, str], value: float) -> None:
    if labels["route"] == "record" and labels["method"] in _READ:
        found.reads += value
    elif labels["route"] == "record" and labels["method"] in _WRITTEN:
        found.writes += value
    else:
        found.other += value

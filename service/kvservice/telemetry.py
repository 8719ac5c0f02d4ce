"""The service's metrics. Every label set that a query counts on is there, at 0, before the first scrape: `increase()`
does not see a series' first sample."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

ROUTES = {
    "record": ("GET", "HEAD", "PUT", "DELETE", "PATCH", "other"),
    "items": ("GET", "other"),
    "batch": ("POST", "other"),
    "changes": ("GET", "other"),
    "other": ("GET", "other"),
}
"""Kinds of addresses, and the methods that each tells apart: the rest is `other`."""
CODES = (200, 201, 204, 304, 401, 403, 404, 405, 409, 412, 413, 421, 422, 429, 499, 500, 503, 504)
EDGES_S = (0.0005, 0.001, 0.0015, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
STORE_EDGES_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series


class Telemetry:
    """`edges_s`: seconds that must be bucket edges of the request histogram: the SLO's thresholds."""

    def __init__(self, *, edges_s: tuple[float, ...], build: str, version: str, region: str, revision: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # CPU and memory of the pod, by their usual names
        info = Gauge("kv_build_info", "Always 1.", ["build", "version", "region", "revision"], registry=registry)
        info.labels(build, version, region, revision).set(1)
        self._requests = Counter(
            "kv_http_requests_total",
            "Requests whose answer has ended. Code 499: the client went away before it began.",
            ["method", "route", "code"],
            registry=registry,
        )
        self._request_s = Histogram(
            "kv_http_request_duration_seconds",
            "From the request's head to the answer's end.",
            ["method", "route"],
            buckets=sorted({*EDGES_S, *edges_s}),
            registry=registry,
        )
        self._cache_reads = Counter("kv_cache_reads_total", "hit, miss or error.", ["outcome"], registry=registry)
        self._cache_writes = Counter(
            "kv_cache_writes_total",
            "set, renewed (it had it), kept (it has a newer one), late (it lost its memory meanwhile) or error.",
            ["outcome"],
            registry=registry,
        )
        self._fillings = Counter(
            "kv_filling_total",
            "Reads by what answered: fresh (copy), stored, joined (a read under way), leased (another pod's), stale. "
            "And suspect: reads of suspect keys; future, unreadable: copies ignored; early: refreshes begun.",
            ["event"],
            registry=registry,
        )
        self._suspects = Gauge("kv_cache_suspect_keys", "Keys whose cached copy may be old.", registry=registry)
        self.suspect_given_up = Counter(
            "kv_cache_suspects_given_up_total", "Suspect keys beyond the limit.", registry=registry
        ).inc
        self._store_s = Histogram(
            "kv_store_op_duration_seconds",
            "Waiting for the store included.",
            ["op"],
            buckets=STORE_EDGES_S,
            registry=registry,
        )
        self._store_errors = Counter(
            "kv_store_errors_total", "Failed or refused operations.", ["op"], registry=registry
        )
        self.conflict = Counter(
            "kv_conflicts_total", "Concurrent writes of two regions, of which one was dropped.", registry=registry
        ).inc
        self._relay_entries = Counter(
            "kv_relay_entries_total",
            "applied; early (too far ahead of this clock: waits); uncached (the cache could not be told, and ages).",
            ["peer", "outcome"],
            registry=registry,
        )
        self._relay_errors = Counter(
            "kv_relay_errors_total", "Failed tries, by who failed: peer or store.", ["peer", "who"], registry=registry
        )
        self._relay_lost = Counter(
            "kv_relay_lost_total", "Times that a peer no longer had what was to follow.", ["peer"], registry=registry
        )
        self._relay_lag_s = Gauge(
            "kv_relay_lag_seconds",
            "Age of the newest moment up to which the peer's writes are known here; some seconds when all is well.",
            ["peer"],
            registry=registry,
        )
        self.version_refused = Counter(
            "kv_versions_refused_total",
            "Versions more than 0.5 s ahead of this clock, or of a clock that is off: not made, or not accepted.",
            registry=registry,
        ).inc
        self._clock_offset_s = Gauge(
            "kv_clock_offset_seconds",
            "How far this pod's clock is ahead of the reference that agrees best; beyond 0.5 writes are refused.",
            registry=registry,
        )
        self._start_at_zero()

    def request(self, method: str, route: str, code: int, seconds: float) -> None:
        known = method if method in ROUTES[route] else "other"
        self._requests.labels(known, route, str(code)).inc()
        self._request_s.labels(known, route).observe(seconds)

    def cache_read(self, outcome: str) -> None:
        self._cache_reads.labels(outcome).inc()

    def cache_write(self, outcome: str) -> None:
        self._cache_writes.labels(outcome).inc()

    def filling(self, event: str) -> None:
        self._fillings.labels(event).inc()

    def watch_suspects(self, count: Callable[[], int]) -> None:
        self._suspects.set_function(count)

    @contextmanager
    def store_op(self, op: str) -> Iterator[None]:
        """Times what is inside; what it raises is counted by whoever knows it is an error."""
        begin = perf_counter()
        try:
            yield
        finally:
            self._store_s.labels(op).observe(perf_counter() - begin)

    def store_error(self, op: str) -> None:
        self._store_errors.labels(op).inc()

    def watch_clock(self, offset_s: Callable[[], float]) -> None:
        self._clock_offset_s.set_function(offset_s)

    def watch_relay(self, peer: str, lag_s: Callable[[], float]) -> None:
        self._relay_lag_s.labels(peer).set_function(lag_s)
        self._relay_lost.labels(peer)
        for outcome in ("applied", "early", "uncached"):
            self._relay_entries.labels(peer, outcome)
        for who in ("peer", "store"):
            self._relay_errors.labels(peer, who)

    def relay_entry(self, peer: str, outcome: str) -> None:
        self._relay_entries.labels(peer, outcome).inc()

    def relay_error(self, peer: str, who: str) -> None:
        self._relay_errors.labels(peer, who).inc()

    def relay_lost(self, peer: str) -> None:
        self._relay_lost.labels(peer).inc()

    def page(self) -> bytes:
        """What `/metrics` says."""
        return generate_latest(self._registry)

    def _start_at_zero(self) -> None:
        for route, methods in ROUTES.items():
            for method in methods:
                self._request_s.labels(method, route)
                for code in CODES:
                    self._requests.labels(method, route, str(code))
        for outcome in ("hit", "miss", "error"):
            self._cache_reads.labels(outcome)
        for outcome in ("set", "renewed", "kept", "late", "error"):
            self._cache_writes.labels(outcome)
        for event in ("fresh", "stored", "joined", "leased", "stale", "suspect", "future", "unreadable", "early"):
            self._fillings.labels(event)
        for op in ("read", "scan", "feed", "write"):
            self._store_s.labels(op)
            self._store_errors.labels(op)

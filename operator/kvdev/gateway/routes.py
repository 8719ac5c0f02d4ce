"""HTTPRoutes and Gateways -> Envoy's route configurations, and what becomes of each route at each parent. Pure.

The common subset of the Gateway API v1: hostnames, PathPrefix and Exact paths, exact methods and headers, weighted
Services of the route's own namespace. A route that asks for more is refused as a whole, never served in part.
`allowedRoutes` is not looked at: every namespace may attach.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kvdev.gateway.envoy import READS, Resource, forward, refuse, route_configuration
from kvdev.gateway.services import Key, Object, Objects, backend_name

GATEWAY_GROUP = "gateway.networking.k8s.io"


@dataclass(frozen=True)
class Answer:
    """One condition's reason and message; the reason is the condition's own name when all is well."""

    reason: str
    message: str = ""


ACCEPTED = Answer("Accepted")
RESOLVED = Answer("ResolvedRefs")


@dataclass(frozen=True)
class Parent:
    """What became of a route at one Gateway: its parentRef, the verdicts, the route configurations that carry it."""

    ref: Object
    gateway: Key
    accepted: Answer
    resolved: Answer
    configs: frozenset[str]


@dataclass(frozen=True)
class Attached:
    """All routes at all Gateways. `counts`: routes of each (gateway, listener name)."""

    configs: dict[str, Resource]
    parents: dict[Key, tuple[Parent, ...]]
    counts: dict[tuple[Key, str], int]


def config_name(gateway: Key, port: int) -> str:
    return f"{gateway[0]}/{gateway[1]}/{port}"


def is_served(listener: Object) -> bool:
    return bool(listener["protocol"] == "HTTP")


def attach(gateways: Objects, routes: Objects, known: Container[str]) -> Attached:
    """The routes at the Gateways given; `known` are the names of the backends there are."""
    book = _Book()
    for key, gateway in gateways.items():
        for listener in filter(is_served, gateway["spec"]["listeners"]):
            book.hosts.setdefault(config_name(key, listener["port"]), {})
    parents = {key: tuple(_parents(book, key, route, gateways, known)) for key, route in sorted(routes.items())}
    configs = {name: route_configuration(name, _ordered(hosts)) for name, hosts in book.hosts.items()}
    return Attached(configs, parents, {place: len(names) for place, names in book.attached.items()})


@dataclass
class _Book:
    """Filled route by route: config -> host -> ranked rules by route, and who is attached where."""

    hosts: dict[str, dict[str, dict[Key, list["_Ranked"]]]] = field(default_factory=dict)
    attached: dict[tuple[Key, str], set[Key]] = field(default_factory=dict)


_Ranked = tuple[tuple[Any, ...], Resource]


def _parents(book: _Book, key: Key, route: Object, gateways: Objects, known: Container[str]) -> Iterator[Parent]:
    unsupported, resolved = _unsupported(route), _resolved(key[0], route, known)
    for ref in route["spec"].get("parentRefs") or []:
        gateway = (ref.get("namespace", key[0]), ref["name"])
        if ref.get("kind", "Gateway") != "Gateway" or gateway not in gateways:
            continue
        served = list(filter(is_served, gateways[gateway]["spec"]["listeners"]))
        listeners = [listener for listener in served if _is_meant(ref, listener)]
        hosts = [(at, host) for at in listeners for host in _shared(at.get("hostname"), route["spec"].get("hostnames"))]
        accepted = _accepted(unsupported, listeners, hosts)
        if accepted == ACCEPTED:
            rules = list(_ranked(key, route, known))
            for at, host in hosts:
                book.hosts[config_name(gateway, at["port"])].setdefault(host, {})[key] = rules
                book.attached.setdefault((gateway, at["name"]), set()).add(key)
        yield Parent(ref, gateway, accepted, resolved, frozenset(config_name(gateway, at["port"]) for at in served))


def _is_meant(ref: Object, listener: Object) -> bool:
    same_name = ref.get("sectionName") in (None, listener["name"])
    return same_name and ref.get("port") in (None, listener["port"])


def _accepted(unsupported: str, listeners: list[Object], hosts: list[tuple[Object, str]]) -> Answer:
    if unsupported:
        return Answer("UnsupportedValue", unsupported)
    if not listeners:
        return Answer("NoMatchingParent", "the Gateway has no HTTP listener of that sectionName and port")
    if not hosts:
        return Answer("NoMatchingListenerHostname", "no hostname of the route fits one of the Gateway's listeners")
    return ACCEPTED


def _shared(listener: str | None, hostnames: list[str] | None) -> list[str]:
    """Hosts that both the listener and the route are for; "*.a.b" covers every name below a.b."""
    if not hostnames:
        return [listener or "*"]
    if not listener:
        return hostnames
    return [host if _covers(listener, host) else listener for host in hostnames if _meet(listener, host)]


def _meet(one: str, other: str) -> bool:
    return _covers(one, other) or _covers(other, one)


def _covers(wide: str, narrow: str) -> bool:
    return wide == narrow or (wide.startswith("*.") and narrow.endswith(wide[1:]))


def _unsupported(route: Object) -> str:
    """What of the route cannot be served; empty if all can."""
    for rule in route["spec"].get("rules") or []:
        for name in rule.keys() - {"name", "matches", "backendRefs"}:
            if rule[name]:
                return f"rules[].{name} is not supported here"
        for match in rule.get("matches") or []:
            if match.get("queryParams"):
                return "rules[].matches[].queryParams is not supported here"
            for part in [match.get("path") or {}, *(match.get("headers") or [])]:
                if part.get("type", "Exact") not in ("Exact", "PathPrefix"):
                    return f"a match of type {part['type']} is not supported here; use Exact or PathPrefix"
        if any(ref.get("filters") for ref in rule.get("backendRefs") or []):
            return "rules[].backendRefs[].filters is not supported here"
    return ""


def _resolved(namespace: str, route: Object, known: Container[str]) -> Answer:
    refs = (ref for rule in route["spec"].get("rules") or [] for ref in rule.get("backendRefs") or [])
    return next((answer for ref in refs if (answer := _backend(namespace, ref, known)) != RESOLVED), RESOLVED)


def _backend(namespace: str, ref: Object, known: Container[str]) -> Answer:
    if (ref.get("group", ""), ref.get("kind", "Service")) != ("", "Service"):
        return Answer("InvalidKind", f"backend {ref['name']} is a {ref['kind']}; only Services can be")
    if ref.get("namespace", namespace) != namespace:
        return Answer("RefNotPermitted", f"Service {ref['name']} is of another namespace, {ref['namespace']}")
    if backend_name(namespace, ref["name"], ref.get("port", 0)) not in known:
        seen = f"Service {ref['name']} with a selector and TCP port {ref.get('port')}"
        return Answer("BackendNotFound", f"there is no {seen} in namespace {namespace}")
    return RESOLVED


def _ranked(key: Key, route: Object, known: Container[str]) -> Iterator[_Ranked]:
    """The route's matches as Envoy routes, each with its rank in the Gateway API's order of precedence."""
    created = route["metadata"].get("creationTimestamp") or ""
    for number, rule in enumerate(route["spec"].get("rules") or []):
        weighted = _weighted(key[0], rule.get("backendRefs") or [], known)
        for match in rule.get("matches") or [{}]:
            path = match.get("path") or {}
            kind, value = path.get("type", "PathPrefix"), path.get("value", "/")
            headers, method = match.get("headers") or [], match.get("method")
            rank = (kind != "Exact", -len(value), method is None, -len(headers), created, key, number)
            condition = {**_path(kind, value), "headers": [_header(h["name"], h["value"]) for h in headers]}
            for resource in _routes(f"{key[0]}/{key[1]}/{number}", condition, method, weighted):
                yield rank, resource


def _routes(name: str, match: Resource, method: str | None, weighted: list[tuple[str, int]]) -> Iterator[Resource]:
    methods = [*match["headers"], *([_header(":method", method)] if method else [])]
    if not any(weight for _, weight in weighted):  # Envoy refuses weights that are all 0
        yield refuse(name, {**match, "headers": methods})
        return
    if method is None:
        yield forward(name, {**match, "headers": [*methods, READS]}, weighted, reads=True)
    yield forward(name, {**match, "headers": methods}, weighted, reads=method in ("GET", "HEAD"))


def _weighted(namespace: str, refs: Iterable[Object], known: Container[str]) -> list[tuple[str, int]]:
    """A backend that may not be used keeps its share under a name that no backend has: Envoy answers that with 500."""
    weighted = []
    for ref in refs:
        answer = _backend(namespace, ref, known)
        name = backend_name(ref.get("namespace", namespace), ref["name"], ref.get("port", 0))
        weighted.append((name if answer == RESOLVED else f"{name}/{answer.reason}", ref.get("weight", 1)))
    return weighted


def _path(kind: str, value: str) -> Resource:
    if kind == "Exact":
        return {"path": value}
    prefix = value.rstrip("/")
    return {"path_separated_prefix": prefix} if prefix else {"prefix": "/"}


def _header(name: str, value: str) -> Resource:
    return {"name": name, "string_match": {"exact": value}}


def _ordered(hosts: dict[str, dict[Key, list[_Ranked]]]) -> dict[str, list[Resource]]:
    """Host -> its routes, the first to match first."""
    every = {host: [ranked for rules in by_route.values() for ranked in rules] for host, by_route in hosts.items()}
    return {host: [resource for _, resource in sorted(rules, key=_rank)] for host, rules in sorted(every.items())}


def _rank(ranked: _Ranked) -> tuple[Any, ...]:
    return ranked[0]

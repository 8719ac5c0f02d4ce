"""HTTPRoutes at Gateways: who attaches where, which rule comes first, what a request without a backend gets."""

from typing import Any

import pytest

from kvdev.gateway.routes import Attached, attach

GATEWAY = ("default", "eu")
ROUTE = ("shop", "kv")
CONFIG = "default/eu/8080"
KNOWN = {"shop/old/8080", "shop/new/8080", "other/old/8080"}


def listener(name: str = "http", port: int = 8080, **more: Any) -> dict[str, Any]:
    return {"name": name, "port": port, "protocol": "HTTP"} | more


def backend(name: str, weight: int = 1, **more: Any) -> dict[str, Any]:
    return {"group": "", "kind": "Service", "name": name, "port": 8080, "weight": weight} | more


def route(*backends: dict[str, Any], match: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    rule = {"matches": [match or {"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": list(backends)}
    parent = {"namespace": "default", "name": "eu"}
    return {
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"parentRefs": [parent], "rules": [rule]} | spec,
    }


def attached(*routes: dict[str, Any], listeners: list[dict[str, Any]] | None = None) -> Attached:
    gateways = {GATEWAY: {"spec": {"listeners": listeners or [listener()]}}}
    keys = [ROUTE, ("shop", "second"), ("shop", "third")]
    return attach(gateways, dict(zip(keys, routes, strict=False)), KNOWN)


def hosts(found: Attached, config: str = CONFIG) -> dict[str, list[dict[str, Any]]]:
    return {host["name"]: host["routes"] for host in found.configs[config]["virtual_hosts"]}


def weights(envoy_route: dict[str, Any]) -> dict[str, int]:
    return {c["name"]: c["weight"] for c in envoy_route["route"]["weighted_clusters"]["clusters"]}


def verdicts(found: Attached) -> tuple[str, str]:
    (parent,) = found.parents[ROUTE]
    return parent.accepted.reason, parent.resolved.reason


def test_weights_are_kept_as_they_are_also_those_of_nought() -> None:
    found = attached(route(backend("old", 100), backend("new", 0)))
    assert weights(hosts(found)["*"][0]) == {"shop/old/8080": 100, "shop/new/8080": 0}
    assert verdicts(found) == ("Accepted", "ResolvedRefs")


def test_a_gateway_without_routes_has_a_configuration_that_answers_nothing() -> None:
    assert hosts(attached()) == {}


@pytest.mark.parametrize("backends", [[], [backend("old", 0), backend("new", 0)]], ids=["no backend", "all weights 0"])
def test_where_no_backend_may_get_traffic_the_answer_is_500(backends: list[dict[str, Any]]) -> None:
    found = attached(route(*backends))
    assert [r["direct_response"]["status"] for r in hosts(found)["*"]] == [500]
    assert verdicts(found)[0] == "Accepted"


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        (backend("absent", 30), "BackendNotFound"),
        (backend("old", 30, port=1), "BackendNotFound"),
        (backend("old", 30, namespace="other"), "RefNotPermitted"),
        (backend("old", 30, kind="Bucket", group="x.io"), "InvalidKind"),
    ],
)
def test_a_backend_that_may_not_be_used_keeps_its_share_and_fails_it(ref: dict[str, Any], reason: str) -> None:
    found = attached(route(backend("new", 70), ref))
    names = weights(hosts(found)["*"][0])
    (lost,) = names.keys() - {"shop/new/8080"}
    assert names[lost] == 30
    assert lost not in KNOWN
    assert hosts(found)["*"][0]["route"]["cluster_not_found_response_code"] == "INTERNAL_SERVER_ERROR"
    assert verdicts(found) == ("Accepted", reason)


def test_reads_are_tried_again_when_a_connection_breaks_and_writes_only_when_nothing_was_sent() -> None:
    reads, rest = hosts(attached(route(backend("old"))))["*"]
    assert "GET|HEAD" in str(reads["match"])
    assert reads["route"]["retry_policy"]["retry_on"].split(",")[-1] == "reset"
    assert rest["match"]["headers"] == []
    assert rest["route"]["retry_policy"]["retry_on"].split(",")[-1] == "reset-before-request"


def test_a_parent_is_looked_for_in_the_routes_own_namespace() -> None:
    assert attached(route(backend("old"), parentRefs=[{"name": "eu"}])).parents[ROUTE] == ()


def test_a_section_name_chooses_one_listener() -> None:
    two = [listener("one", 8080), listener("two", 8081)]
    ref = {"namespace": "default", "name": "eu", "sectionName": "two"}
    found = attached(route(backend("old"), parentRefs=[ref]), listeners=two)
    assert (hosts(found), list(hosts(found, "default/eu/8081"))) == ({}, ["*"])
    assert found.counts == {(GATEWAY, "two"): 1}


def test_an_unknown_section_has_no_matching_parent() -> None:
    ref = {"namespace": "default", "name": "eu", "sectionName": "absent"}
    assert verdicts(attached(route(backend("old"), parentRefs=[ref])))[0] == "NoMatchingParent"


@pytest.mark.parametrize(
    ("at", "names", "shared"),
    [
        (None, None, ["*"]),
        (None, ["a.kv"], ["a.kv"]),
        ("a.kv", None, ["a.kv"]),
        ("a.kv", ["a.kv", "b.kv"], ["a.kv"]),
        ("*.kv", ["a.kv", "a.b.kv", "a.other"], ["a.kv", "a.b.kv"]),
        ("a.kv", ["*.kv"], ["a.kv"]),
        ("*.b.kv", ["*.kv"], ["*.b.kv"]),
    ],
)
def test_a_route_serves_the_hosts_it_shares_with_the_listener(
    at: str | None, names: list[str] | None, shared: list[str]
) -> None:
    found = attached(route(backend("old"), hostnames=names), listeners=[listener(hostname=at)])
    assert sorted(hosts(found)) == sorted(shared)


@pytest.mark.parametrize(("at", "name"), [("a.kv", "b.kv"), ("*.kv", "kv"), ("*.kv", "a.other")])
def test_a_route_without_a_shared_host_is_not_accepted(at: str, name: str) -> None:
    found = attached(route(backend("old"), hostnames=[name]), listeners=[listener(hostname=at)])
    assert hosts(found) == {}
    assert verdicts(found)[0] == "NoMatchingListenerHostname"


def prefix(value: str) -> dict[str, Any]:
    return {"path": {"type": "PathPrefix", "value": value}}


def test_exact_paths_come_first_then_longer_prefixes_then_methods_and_headers() -> None:
    header = {"type": "Exact", "name": "x", "value": "1"}
    matches = [
        prefix("/"),
        prefix("/v1/kv/"),
        prefix("/v1"),
        prefix("/v1") | {"headers": [header]},
        prefix("/v1") | {"method": "PUT"},
        {"path": {"type": "Exact", "value": "/v"}},
    ]
    rules = [{"matches": [m], "backendRefs": [backend("old")]} for m in matches]
    order = [r["name"] for r in hosts(attached(route(rules=rules)))["*"]]
    assert list(dict.fromkeys(order)) == [f"shop/kv/{number}" for number in (5, 1, 4, 3, 2, 0)]


def test_of_two_equal_routes_the_older_one_serves() -> None:
    young, old = route(backend("new")), route(backend("old"))
    young["metadata"]["creationTimestamp"] = "2026-01-01T00:00:01Z"
    assert weights(hosts(attached(young, old))["*"][0]) == {"shop/old/8080": 1}


def test_a_prefix_ends_at_a_slash() -> None:
    assert (
        hosts(attached(route(backend("old"), match=prefix("/v1/"))))["*"][0]["match"]["path_separated_prefix"] == "/v1"
    )


@pytest.mark.parametrize(
    "rule",
    [
        {"filters": [{"type": "RequestRedirect"}]},
        {"timeouts": {"request": "1s"}},
        {"matches": [{"path": {"type": "RegularExpression", "value": "/a.*"}}]},
        {"matches": [{"headers": [{"type": "RegularExpression", "name": "x", "value": "."}]}]},
        {"matches": [{"queryParams": [{"name": "x", "value": "1"}]}]},
        {"backendRefs": [backend("old", filters=[{"type": "RequestMirror"}])]},
    ],
)
def test_a_route_that_asks_for_more_is_refused_as_a_whole(rule: dict[str, Any]) -> None:
    plain = {"matches": [prefix("/")], "backendRefs": [backend("old")]}
    found = attached(route(rules=[plain, plain | rule]))
    assert hosts(found) == {}
    assert verdicts(found)[0] == "UnsupportedValue"


def test_only_http_listeners_are_served() -> None:
    found = attached(route(backend("old")), listeners=[listener(protocol="TCP")])
    assert found.configs == {}
    assert verdicts(found)[0] == "NoMatchingParent"

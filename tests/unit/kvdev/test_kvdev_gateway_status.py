"""What the statuses of Gateways and HTTPRoutes say."""

from pathlib import Path
from typing import Any

from kvdev.gateway.plan import plan
from kvdev.gateway.status import CONTROLLER, Report, reports

EU, ROUTE = ("default", "eu"), ("shop", "kv")
REF = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "default", "name": "eu"}


def meta(generation: int = 1) -> dict[str, Any]:
    return {"generation": generation, "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"}


def gateway(port: int = 8080, status: dict[str, Any] | None = None) -> dict[str, Any]:
    listeners = [
        {"name": "http", "port": port, "protocol": "HTTP"},
        {"name": "tls", "port": 8443, "protocol": "HTTPS"},
    ]
    return {"metadata": meta(), "spec": {"listeners": listeners}, "status": status or {}}


def route(
    generation: int = 1, service: str = "old", refs: Any = (REF,), status: dict[str, Any] | None = None
) -> dict[str, Any]:
    rules = [{"backendRefs": [{"name": service, "port": 8080}]}]
    return {
        "metadata": meta(generation),
        "spec": {"parentRefs": list(refs), "rules": rules},
        "status": status or {},
    }


def report(path: str, route_: dict[str, Any], gateway_: dict[str, Any], now: str) -> Report:
    service = {"spec": {"clusterIP": "None", "selector": {"app": "kv"}, "ports": [{"port": 8080}]}}
    made = plan(
        Path("/run/envoy"),
        services={("shop", "old"): service},
        pods={},
        routes={ROUTE: route_},
        gateways={EU: gateway_},
        addresses={EU: "127.48.0.1"},
        first_port=1024,
    )
    every = {found.path.rsplit("/", 2)[1]: found for found in reports(made, {ROUTE: route_}, now, 1024)}
    return every[path]


def of_route(route_: dict[str, Any], now: str = "T1") -> Report:
    return report("httproutes", route_, gateway(), now)


def of_gateway(gateway_: dict[str, Any], now: str = "T1") -> Report:
    return report("gateways", route(), gateway_, now)


def conditions(holder: dict[str, Any]) -> dict[str, tuple[str, str, int]]:
    return {c["type"]: (c["status"], c["reason"], c["observedGeneration"]) for c in holder["conditions"]}


def test_an_accepted_route_names_parent_controller_and_generation() -> None:
    (entry,) = of_route(route(generation=4)).taken["parents"]
    assert (entry["controllerName"], entry["parentRef"]) == ("kvcluster.dev/kvdev", REF)
    assert conditions(entry) == {"Accepted": ("True", "Accepted", 4), "ResolvedRefs": ("True", "ResolvedRefs", 4)}


def test_a_route_waits_for_the_configurations_of_its_gateway() -> None:
    assert of_route(route()).needs == {"default/eu/8080"}


def test_a_missing_service_is_shown_though_the_route_is_accepted() -> None:
    (entry,) = of_route(route(service="absent")).taken["parents"]
    assert conditions(entry)["Accepted"][0] == "True"
    assert conditions(entry)["ResolvedRefs"][:2] == ("False", "BackendNotFound")


def test_a_route_whose_configuration_envoy_refused_is_not_accepted() -> None:
    (entry,) = of_route(route()).refused["parents"]
    assert conditions(entry)["Accepted"][:2] == ("False", "RefusedByEnvoy")


def test_what_another_controller_says_of_a_route_is_left_alone() -> None:
    foreign = {"controllerName": "other.io/x", "parentRef": {"name": "y"}, "conditions": []}
    parents = of_route(route(status={"parents": [foreign]})).taken["parents"]
    assert parents[0] == foreign
    assert parents[1]["controllerName"] == CONTROLLER


def test_a_route_that_left_our_gateways_loses_our_entry() -> None:
    told = of_route(route()).taken
    assert of_route(route(refs=(), status=told)).taken == {"parents": []}


def test_a_told_status_is_known_again_whatever_the_time() -> None:
    told = of_route(route(), now="T1").taken
    later = of_route(route(status=told), now="T2")
    assert later.is_told(later.taken)


def test_a_new_generation_has_to_be_told_and_keeps_the_time_of_transition() -> None:
    told = of_route(route(), now="T1").taken
    later = of_route(route(generation=2, status=told), now="T2")
    assert not later.is_told(later.taken)
    assert {c["lastTransitionTime"] for c in later.taken["parents"][0]["conditions"]} == {"T1"}


def test_a_condition_that_turns_has_a_new_time() -> None:
    told = of_route(route(), now="T1").taken
    turned = of_route(route(service="absent", status=told), now="T2").taken["parents"][0]["conditions"]
    assert {c["type"]: c["lastTransitionTime"] for c in turned} == {"Accepted": "T1", "ResolvedRefs": "T2"}


def test_a_gateway_tells_its_address_and_what_each_listener_carries() -> None:
    status = of_gateway(gateway()).taken
    assert status["addresses"] == [{"type": "IPAddress", "value": "127.48.0.1"}]
    assert conditions(status)["Programmed"] == ("True", "Programmed", 1)
    assert {at["name"]: at["attachedRoutes"] for at in status["listeners"]} == {"http": 1, "tls": 0}


def test_a_listener_that_is_not_http_is_not_accepted() -> None:
    (tls,) = [at for at in of_gateway(gateway()).taken["listeners"] if at["name"] == "tls"]
    assert conditions(tls)["Accepted"][:2] == ("False", "UnsupportedProtocol")


def test_a_gateway_says_on_which_port_a_low_port_is_served() -> None:
    programmed = of_gateway(gateway(port=80)).taken["conditions"][1]
    assert programmed["message"] == "port 80 is served on 8080"


def test_a_gateway_waits_for_its_listeners_and_their_routes() -> None:
    assert of_gateway(gateway()).needs == {"lds", "default/eu/8080"}

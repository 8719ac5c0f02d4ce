"""Addresses, ports and listeners of Gateways and Services."""

from pathlib import Path
from typing import Any

import pytest

from kvdev.gateway.envoy import bootstrap, document
from kvdev.gateway.plan import INDEXES, Plan, allot, bound_port, ours, plan

REGIONS = ("eu-west", "us-east")
EU, US, OTHER, MORE = ("default", "eu-west"), ("default", "us-east"), ("shop", "own"), ("shop", "another")


def gateways(*keys: tuple[str, str]) -> dict[tuple[str, str], dict[str, Any]]:
    return {key: {} for key in keys}


def test_a_regions_gateway_has_the_regions_place_whoever_comes_first() -> None:
    assert allot({}, gateways(US), REGIONS) == {US: 1}


def test_other_gateways_come_after_the_regions() -> None:
    assert allot({}, gateways(EU, OTHER), REGIONS) == {EU: 0, OTHER: 2}


def test_an_address_does_not_move_when_another_gateway_comes() -> None:
    known = allot({}, gateways(OTHER), REGIONS)
    assert allot(known, gateways(MORE, OTHER, EU), REGIONS) == {EU: 0, OTHER: 2, MORE: 3}


def test_an_address_is_free_again_when_its_gateway_is_gone() -> None:
    known = allot({}, gateways(OTHER, MORE), REGIONS)
    assert allot(known, gateways(OTHER), REGIONS) == {OTHER: known[OTHER]}
    assert allot({OTHER: 3}, gateways(OTHER, MORE), REGIONS) == {OTHER: 3, MORE: 2}


def test_beyond_the_last_address_a_gateway_has_none() -> None:
    many = gateways(*(("shop", f"g{number:03}") for number in range(len(INDEXES) + 1)))
    assert len(allot({}, many, REGIONS)) == len(INDEXES) - len(REGIONS)


def test_only_gateways_of_our_class_are_ours() -> None:
    mine, foreign = {"spec": {"gatewayClassName": "kvdev"}}, {"spec": {"gatewayClassName": "istio"}}
    assert list(ours({EU: mine, US: foreign})) == [EU]


@pytest.mark.parametrize(("port", "bound"), [(80, 8080), (1023, 9023), (1024, 1024), (8080, 8080)])
def test_a_port_that_may_not_be_bound_is_served_8000_higher(port: int, bound: int) -> None:
    assert bound_port(port, 1024) == bound


def made() -> Plan:
    service = {"spec": {"clusterIP": "127.96.0.7", "selector": {"app": "kv"}, "ports": [{"port": 6379}]}}
    headless = {"spec": {"clusterIP": "None", "selector": {"app": "kv"}, "ports": [{"port": 6379}]}}
    two = [{"name": name, "port": 8080, "protocol": "HTTP", "hostname": f"{name}.kv"} for name in ("a", "b")]
    return plan(
        Path("/run/envoy"),
        services={("shop", "kv"): service, ("shop", "headless"): headless},
        pods={},
        routes={},
        gateways={EU: {"spec": {"listeners": two}}, OTHER: {"spec": {"listeners": two}}},
        addresses={EU: "127.48.0.1"},
        first_port=1024,
    )


def address(listener: dict[str, Any]) -> tuple[str, int]:
    socket = listener["address"]["socket_address"]
    return socket["address"], socket["port_value"]


def test_each_service_address_and_each_port_of_a_gateway_has_one_listener() -> None:
    assert {name: address(listener) for name, listener in made().resources.listeners.items()} == {
        "service/shop/kv/6379": ("127.96.0.7", 6379),
        "gateway/default/eu-west/8080": ("127.48.0.1", 8080),
    }


def test_each_cluster_has_endpoints_though_there_be_none() -> None:
    resources = made().resources
    assert set(resources.clusters) == set(resources.endpoints) == {"shop/kv/6379", "shop/headless/6379"}


def test_the_bootstrap_brings_the_first_files_and_keeps_what_is_there(tmp_path: Path) -> None:
    bootstrap(tmp_path, "127.16.0.2", 9901, "dev")
    _, text = document([{"name": "kept"}])
    (tmp_path / "cds/cds.json").write_text(text)
    bootstrap(tmp_path, "127.16.0.2", 9901, "dev")
    assert (tmp_path / "cds/cds.json").read_text() == text
    assert (tmp_path / "lds/lds.json").exists()


def test_equal_resources_have_equal_versions_and_others_do_not() -> None:
    first, second, other = document([{"a": 1, "b": 2}]), document([{"b": 2, "a": 1}]), document([{"a": 2}])
    assert first[0] == second[0] != other[0]

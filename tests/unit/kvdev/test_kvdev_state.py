"""A cluster's addresses, folder and file."""

import ipaddress
import json
from pathlib import Path

import pytest

from kvdev.errors import KvdevError, UnknownClusterError
from kvdev.state import DEFAULT_REGIONS, SLOTS, ClusterState, Process, checked_regions, directory_of, load


def cluster(directory: Path, slot: int = 0) -> ClusterState:
    return ClusterState(name="dev", slot=slot, regions=DEFAULT_REGIONS, directory=directory)


def addresses(state: ClusterState) -> list[str]:
    fixed = [state.plane_address, state.envoy_admin_address, state.prometheus_address]
    nodes = [state.node_address(index) for index in range(len(state.node_names))]
    return [*fixed, *nodes, *(state.gateway_address(index) for index in range(len(state.regions)))]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    state = ClusterState(
        name="dev",
        slot=3,
        regions={"eu": ("a", "b"), "us": ("a",)},
        directory=tmp_path,
        processes=(Process(name="etcd", pid=7, started=99),),
    )
    state.save()
    assert load(tmp_path) == state


def test_no_two_parts_of_any_two_clusters_share_an_address(tmp_path: Path) -> None:
    every = [address for slot in SLOTS for address in addresses(cluster(tmp_path, slot))]
    assert len(set(every)) == len(every)


def test_every_address_is_loopback_in_every_slot(tmp_path: Path) -> None:
    for slot in SLOTS:
        state = cluster(tmp_path, slot)
        networks = [state.service_cidr, f"{state.pod_network}.0.0/16"]
        assert all(ipaddress.ip_address(address).is_loopback for address in addresses(state))
        assert all(ipaddress.ip_network(network).is_loopback for network in networks)


def test_nodes_are_named_by_region_and_zone_in_the_order_of_their_addresses(tmp_path: Path) -> None:
    state = cluster(tmp_path)
    assert state.node_names[:3] == ("eu-west-a", "eu-west-b", "us-east-a")
    assert (state.node_address(0), state.gateway_address(1)) == ("127.32.0.1", "127.48.0.2")


def test_a_cluster_that_is_not_there_is_unknown_and_the_message_starts_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownClusterError, match="kvctl dev up --name nowhere"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["", "[]", '{"name": "dev"}'])
def test_a_damaged_file_says_how_to_get_rid_of_the_cluster(tmp_path: Path, content: str) -> None:
    (tmp_path / "cluster.json").write_text(content)
    with pytest.raises(KvdevError, match=r"is damaged.*kvctl dev down"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "Upper", "-a", "a-", "a" * 33])
def test_a_name_that_is_no_plain_word_never_becomes_a_folder(name: str) -> None:
    with pytest.raises(KvdevError, match="cannot name a cluster"):
        directory_of(name)


def test_state_goes_where_the_user_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert directory_of("dev") == tmp_path / "kvdev" / "dev"


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ({}, "1 to 250 zones"),
        ({"eu": []}, "at least one"),
        ({"eu": ["a", "a"]}, "each once"),
        ({"EU": ["a"]}, "'EU' cannot name"),
        ({"eu": [""]}, "'' cannot name"),
    ],
)
def test_regions_that_make_no_nodes_are_refused(regions: dict[str, list[str]], message: str) -> None:
    with pytest.raises(KvdevError, match=message):
        checked_regions(regions)


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    cluster(tmp_path).save()
    cluster(tmp_path, slot=1).save()
    assert json.loads((tmp_path / "cluster.json").read_text())["slot"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.json"]

"""The program of the image `cassandra:5.0`: the official image's variables in, Cassandra's configuration out."""

import sys
from pathlib import Path

import pytest
import yaml

from kvdev import cassandra, images
from kvdev.cassandra import CassandraError

ALONE = {"CASSANDRA_LISTEN_ADDRESS": "127.0.0.9"}
JARS = [Path("/jars/cassandra-all-5.0.9.jar"), Path("/jars/jamm-0.4.0.jar")]


def configured(**variables: str) -> dict[str, object]:
    text = cassandra.configuration(ALONE | variables)["cassandra.yaml"]
    found: dict[str, object] = yaml.safe_load(text)
    return found


def test_what_the_official_image_takes_is_taken() -> None:
    found = configured(
        CASSANDRA_CLUSTER_NAME="shop",
        CASSANDRA_SEEDS="127.0.0.1,127.0.0.2",
        CASSANDRA_RPC_ADDRESS="127.0.0.3",
        CASSANDRA_BROADCAST_ADDRESS="127.0.0.4",
        CASSANDRA_ENDPOINT_SNITCH="GossipingPropertyFileSnitch",
        CASSANDRA_NUM_TOKENS="4",
    )
    assert (
        found
        | {
            "cluster_name": "shop",
            "listen_address": "127.0.0.9",
            "rpc_address": "127.0.0.3",
            "broadcast_address": "127.0.0.4",
            "endpoint_snitch": "GossipingPropertyFileSnitch",
            "num_tokens": 4,
        }
        == found
    )
    assert "127.0.0.1,127.0.0.2" in str(found["seed_provider"])


def test_datacenter_and_rack_are_told_to_the_snitch() -> None:
    files = cassandra.configuration(ALONE | {"CASSANDRA_DC": "eu-west", "CASSANDRA_RACK": "b"})
    assert files["cassandra-rackdc.properties"] == "dc=eu-west\nrack=b\n"


def test_without_settings_it_is_as_the_official_one() -> None:
    found = configured()
    assert found["endpoint_snitch"] == "SimpleSnitch"
    assert found["num_tokens"] == 16
    assert (found["commitlog_sync"], found["commitlog_sync_period"]) == ("periodic", "10000ms")
    assert found["rpc_address"] == "127.0.0.9"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "CASSANDRA_LISTEN_ADDRESS is missing"),
        ({"CASSANDRA_LISTEN_ADDRESS": "10.0.0.1"}, "CASSANDRA_LISTEN_ADDRESS=10.0.0.1 is not a loopback address"),
        (ALONE | {"CASSANDRA_RPC_ADDRESS": "0.0.0.0"}, "CASSANDRA_RPC_ADDRESS=0.0.0.0 is not a loopback address"),
        ({"CASSANDRA_LISTEN_ADDRESS": "nowhere.invalid"}, "CASSANDRA_LISTEN_ADDRESS=nowhere.invalid has no address"),
    ],
)
def test_only_loopback_addresses_are_taken(variables: dict[str, str], message: str) -> None:
    with pytest.raises(CassandraError, match=message):
        cassandra.configuration(variables)


def test_javas_extra_options_come_after_ours_so_that_they_hold(tmp_path: Path) -> None:
    extra = "-Dcassandra.storagedir=/mnt -Dcassandra.settings.commitlog_sync=batch"
    found = cassandra.options({"MAX_HEAP_SIZE": "300M", "HEAP_NEWSIZE": "80M", "JVM_EXTRA_OPTS": extra}, tmp_path, JARS)
    assert found[:2] == ["-Xmx300M", "-Xmn80M"]
    assert found.index(f"-Dcassandra.storagedir={tmp_path}/data") < found.index("-Dcassandra.storagedir=/mnt")
    assert found[-4:] == [
        "-Dcassandra.settings.commitlog_sync=batch",
        "-cp",
        f"{JARS[0]}:{JARS[1]}",
        "org.apache.cassandra.service.CassandraDaemon",
    ]


@pytest.mark.parametrize("argv", [["cassandra"], ["cassandra", "-R"], ["docker-entrypoint.sh", "bash"]])
def test_another_command_line_is_refused_in_one_line(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit, match=r"is not known here; expected: docker-entrypoint\.sh cassandra -f"):
        cassandra.main()


def test_the_image_has_both_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = images.build_cassandra()
    assert {path.name for path in (folder / "bin").iterdir()} == {"cassandra", "docker-entrypoint.sh"}
    assert images.find("cassandra:5.0")

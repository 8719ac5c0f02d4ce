"""Keys, certificates, tokens."""

import csv
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from kvdev.plane import pki
from kvdev.state import ClusterState


def rows_of(state: ClusterState) -> list[list[str]]:
    return list(csv.reader((state.pki / "tokens.csv").read_text().splitlines()))


@pytest.fixture
def state(tmp_path: Path) -> ClusterState:
    state = ClusterState(name="dev", slot=2, regions={"eu": ("a",)}, directory=tmp_path)
    pki.write(state)
    return state


def test_only_the_owner_reads_any_of_it(state: ClusterState) -> None:
    files = [state.kubeconfig, *state.pki.iterdir()]
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}
    assert oct(state.pki.stat().st_mode & 0o777) == "0o700"


def test_the_servers_certificate_is_signed_and_names_its_addresses(state: ClusterState) -> None:
    authority = x509.load_pem_x509_certificate((state.pki / "ca.crt").read_bytes())
    certificate = x509.load_pem_x509_certificate((state.pki / "plane.crt").read_bytes())
    certificate.verify_directly_issued_by(authority)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.18.0.1", "127.98.0.1"]


def test_every_token_is_long_and_another_in_every_cluster(state: ClusterState, tmp_path: Path) -> None:
    other = ClusterState(name="dev", slot=2, regions={"eu": ("a",)}, directory=tmp_path / "other")
    pki.write(other)
    tokens = [row[0] for each in (state, other) for row in rows_of(each)]
    assert len(set(tokens)) == 6
    assert min(map(len, tokens)) >= 43


def test_the_kubeconfig_is_the_administrators(state: ClusterState) -> None:
    config = yaml.safe_load(state.kubeconfig.read_text())
    rows = {row[0]: row for row in rows_of(state)}
    assert rows[config["users"][0]["user"]["token"]] == [
        config["users"][0]["user"]["token"],
        "admin",
        "admin",
        "system:masters",
    ]
    assert config["clusters"][0]["cluster"]["server"] == "https://127.18.0.1:6443"

"""The data port speaks TLS if it is given a certificate."""

import datetime
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "kv.test"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed one for NAME -> its file, its key's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return certificate(tmp_path)


@pytest.fixture
def pod(start_pod: Any, files: tuple[Path, Path]) -> Any:
    return start_pod(KV_TLS_CERTIFICATE=str(files[0]), KV_TLS_KEY=str(files[1]))


def trusting(files: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files[0]))


def test_a_client_that_trusts_the_certificate_reads_what_it_wrote(pod: Any, files: tuple[Path, Path]) -> None:
    url = f"https://{pod.address}:8080/v1/kv/demo/a"
    with httpx.Client(verify=trusting(files)) as client:
        answers = [
            client.request(method, url, content=content, headers={"host": NAME}, extensions={"sni_hostname": NAME})
            for method, content in (("PUT", b"secret"), ("GET", b""))
        ]

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[1].content == b"secret"


def test_a_client_that_does_not_trust_it_sends_nothing(pod: Any) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://{pod.address}:8080/v1/kv/demo/a", verify=ssl.create_default_context())


def test_plain_http_is_not_answered(pod: Any) -> None:
    with socket.create_connection((pod.address, 8080), timeout=10) as connection:
        connection.sendall(b"GET /v1/kv/demo/a HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            answer = connection.recv(100)
        except ConnectionResetError:
            answer = b""

    assert b"HTTP" not in answer


def test_old_protocols_are_refused(pod: Any, files: tuple[Path, Path]) -> None:
    with (
        socket.create_connection((pod.address, 8080), timeout=10) as connection,
        trusting(files).wrap_socket(connection, server_hostname=NAME) as secure,
    ):
        assert secure.version() in ("TLSv1.2", "TLSv1.3")


def test_probes_stay_plain(pod: Any) -> None:
    assert httpx.get(f"{pod.admin}/readyz").status_code == 200

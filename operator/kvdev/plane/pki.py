"""Keys, certificates and tokens of one cluster, made fresh for it; every file 0600. Nothing leaves the folder.

People and parts show tokens; certificates prove the API server to them, and etcd, the API server and
the nodes to each other.
"""

import base64
import datetime
import ipaddress
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kvdev.state import ClusterState

VALID = datetime.timedelta(days=365)
CLOCK_SKEW = datetime.timedelta(minutes=5)
USERS = {  # user -> groups
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
}


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def write(state: ClusterState) -> None:
    """Fill the cluster's `pki/` and its kubeconfigs."""
    state.pki.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _authority(state.name)
    _private(state.pki / "ca.crt", _pem(authority.certificate))
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    first_service = state.service_cidr.replace(".0/16", ".1")
    _issue(state.pki, "plane", authority, names, [state.plane_address, first_service])
    _issue(state.pki, "etcd", authority, ["localhost"], [state.plane_address])
    _issue(state.pki, "nodes", authority, [], [state.node_address(index) for index in range(len(state.node_names))])
    accounts = ec.generate_private_key(ec.SECP256R1())
    _private(state.pki / "service-accounts.key", _key_pem(accounts))
    tokens = {user: secrets.token_urlsafe(32) for user in USERS}
    rows = [f'{tokens[user]},{user},{user},"{groups}"\n' for user, groups in USERS.items()]
    _private(state.pki / "tokens.csv", "".join(rows).encode())
    for user, token in tokens.items():
        path = state.kubeconfig if user == "admin" else kubeconfig_of(state, user)
        _private(path, _kubeconfig(state, user, token, _pem(authority.certificate)))


def kubeconfig_of(state: ClusterState, user: str) -> Path:
    """The kubeconfig of a part (admin's is `state.kubeconfig`)."""
    return state.pki / f"{user.removeprefix('system:')}.kubeconfig"


def _authority(cluster: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kvdev {cluster}")])
    signs = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def _issue(folder: Path, name: str, authority: Authority, dns: list[str], addresses: list[str]) -> None:
    """`<name>.crt` and `.key`, good for both ends of a connection."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alternatives = [*map(x509.DNSName, dns), *(x509.IPAddress(ipaddress.ip_address(text)) for text in addresses)]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(subject, authority.certificate.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(issuer, critical=False)
    )
    _private(folder / f"{name}.crt", _pem(builder.sign(authority.key, hashes.SHA256())))
    _private(folder / f"{name}.key", _key_pem(key))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + VALID)
    )


def _kubeconfig(state: ClusterState, user: str, token: str, authority: bytes) -> bytes:
    name = f"kvdev-{state.name}"
    cluster = {"server": state.api_url, "certificate-authority-data": base64.b64encode(authority).decode()}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        },
        sort_keys=False,
    ).encode()


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)

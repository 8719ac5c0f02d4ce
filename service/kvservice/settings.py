"""Settings: environment variables KV_*, each with unit, default and reason. Read once, at start."""

import json
import re
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from kvservice.core.namespaces import Namespace, WriteMode
from kvservice.core.session import LIFE_S
from kvservice.errors import SettingsError

PREFIX = "KV_"


def _address(value: str) -> str:
    ip_address(value)
    return value


def _cache_url(value: str) -> str:
    if not re.match(r"(redis|rediss)://[^/\s]+(/\d+)?$|unix:///\S+$", value):
        raise ValueError("expected redis://host:port, rediss://host:port or unix:///path, or nothing for no cache")
    return value


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"expected a JSON list: {error}") from None


def _namespaces(value: tuple[Namespace, ...]) -> tuple[Namespace, ...]:
    names = [policy.name for policy in value]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"each namespace may be given once; twice: {', '.join(twice)}")
    return value


def _bearer(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]*", value.get_secret_value()):
        raise ValueError("expected letters, digits and ._~+/=- only, as a bearer token has")
    return value


def _pairs(value: str) -> list[tuple[str, str, str]]:
    """Of `name=value`, comma between them."""
    return [part.strip().partition("=") for part in value.split(",") if part.strip()]


def _replication(value: Any) -> Any:
    """`datacenter=copies` pairs."""
    if not isinstance(value, str):
        return value
    pairs = _pairs(value)
    if any(not datacenter or not copies.isdecimal() or not 1 <= int(copies) <= 9 for datacenter, _, copies in pairs):
        raise ValueError("expected datacenter=copies pairs, comma between them, copies from 1 to 9")
    return {datacenter: int(copies) for datacenter, _, copies in pairs}


def _peers(value: Any) -> Any:
    """`region=url` pairs."""
    if not isinstance(value, str):
        return value
    pairs = _pairs(value)
    wrong = [region for region, _, url in pairs if not re.match(r"https?://[^/\s]+$", url)]
    if wrong:
        raise ValueError(f"expected region=http://host:port pairs, comma between them; not so: {', '.join(wrong)}")
    return {region: url for region, _, url in pairs}


def _comma_list(value: Any) -> Any:
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Port = Annotated[int, Field(ge=1, le=65535)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:+-]+$", max_length=128)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+(:[0-9]{1,5})?$", max_length=253)]
RegionName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
ANY_NAMESPACE = Namespace(name="*", write_mode=WriteMode.CAS)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, use_attribute_docstrings=True)

    bind: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    """IP address of both ports. Loopback by default: nothing is offered to a network unasked."""
    port: Port = 8080
    """Port of the data API."""
    admin_port: Port = 9090
    """Port of /healthz, /readyz and /metrics, which clients of the data API must not reach."""
    region: RegionName = "local"
    """Name of the region; it is kept with every record as its origin."""
    revision: Word = "local"
    """Name of the revision, shown in kv_build_info."""
    pod: Word = socket.gethostname()
    """Name of the pod; the writer slot of the versions is made of it. The host's name by default."""
    store_path: Path = Path("kv.db")
    """SQLite file, on a local disk; pods of one machine may share it. In the working folder by default. Used unless
    KV_CASSANDRA_POINTS names a Cassandra."""
    cassandra_points: Annotated[tuple[Host, ...], NoDecode, BeforeValidator(_comma_list), Field(max_length=16)] = ()
    """host or host:port of some Cassandra nodes of this region, comma list: the store is Cassandra then."""
    cassandra_datacenter: Annotated[str, Field(max_length=63)] = ""
    """Cassandra's name of this region; the region's own name by default."""
    cassandra_keyspace: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")] = "kv"
    """Keyspace of the tables, made by `kvservice migrate`."""
    cassandra_replication: Annotated[dict[str, int], NoDecode, BeforeValidator(_replication)] = {}
    """datacenter=copies pairs, comma between them: what `kvservice migrate` asks of the keyspace. By default one copy
    in KV_CASSANDRA_DATACENTER, which is for trying out."""
    cassandra_username: str = ""
    """User of the nodes; none by default."""
    cassandra_password: SecretStr = SecretStr("")
    """Password of that user."""
    cassandra_ca: Path | None = None
    """File of certificates that the nodes' TLS is checked against; no TLS by default."""
    cache_urls: Annotated[
        tuple[Annotated[str, AfterValidator(_cache_url)], ...], NoDecode, BeforeValidator(_comma_list)
    ] = ()
    """redis://host:port of each shard of the region's cache, comma list; none by default, because the store works
    alone. All pods of a region must have the same list."""
    cache_ttl_s: Annotated[float, Field(ge=0.001, le=LIFE_S, allow_inf_nan=False)] = 600.0
    """Seconds a cached copy is fresh: the longest time it may be old after a failed invalidation."""
    cache_stale_s: Annotated[float, Field(ge=0, le=LIFE_S, allow_inf_nan=False)] = 3600.0
    """Seconds beyond that in which it is kept, to answer while the store fails; such answers say so."""
    cache_feed_bytes: Annotated[int, Field(ge=2**16, le=2**40)] = 64 * 2**20
    """Bytes of each shard's memory for the change feed that the other regions follow, with Cassandra as the store.
    A shard needs several times as much in all."""
    namespaces: Annotated[
        tuple[Namespace, ...], NoDecode, BeforeValidator(_json), AfterValidator(_namespaces), Field(max_length=256)
    ] = (ANY_NAMESPACE,)
    """JSON list of namespaces, each {name, writeMode, home, ttlS, valueBytes, requestsPerSecond, sessionElsewhere,
    access: {read, write}}; name * is for those that are not listed. By default all exist, with conditional writes."""
    auth_file: Path | None = None
    """JSON file that says who is who: {"keys": [{"subject", "sha256"}], "jwt": {"jwks", "issuer", "audience"}}.
    None by default: everyone is let in."""
    relay_token: Annotated[SecretStr, AfterValidator(_bearer)] = SecretStr("")
    """Bearer token of the change feed, the same in all regions; without one nobody reads it."""
    peers: Annotated[dict[RegionName, str], NoDecode, BeforeValidator(_peers)] = {}
    """region=http://host:port of the other regions, comma list: whose change feeds `kvservice relay` follows."""
    peers_ca: Path | None = None
    """File of certificates that the peers' TLS is checked against; the system's by default."""
    session_secret: SecretStr = SecretStr("")
    """What session and page tokens are signed with, the same for all pods of all regions. By default made up at start:
    tokens end with the process."""
    tls_certificate: Path | None = None
    """PEM file: the data port speaks TLS. Plain HTTP by default."""
    tls_key: Path | None = None
    """PEM file of the certificate's private key."""
    deadline_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """Seconds for a request that names no KV-Deadline-Ms."""
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 1024
    """Requests under way at once; beyond half of it those of low priority are refused, beyond 9 of 10 the normal."""
    max_value_bytes: Annotated[int, Field(ge=1, le=16 * 2**20)] = 2**20
    """Bytes of a record's value. A value is held in memory whole."""
    max_id_bytes: Annotated[int, Field(ge=1, le=2048)] = 512
    """Bytes of an id, decoded."""
    latency_edges_s: Annotated[tuple[Seconds, ...], NoDecode, BeforeValidator(_comma_list), Field(max_length=16)] = ()
    """Seconds, comma list: the SLO's thresholds, which become bucket edges next to the usual ones."""
    build: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]+$", max_length=64)] = "dev"
    """Name of the build, shown in kv_build_info and the Server header. The image sets it."""
    drain_s: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 5.0
    """Seconds of serving on after SIGTERM, unready: the time gateways need to notice."""
    finish_s: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 20.0
    """Seconds that requests in flight get after that. With the drain time below Kubernetes' 30 s grace."""
    keep_alive_s: Annotated[int, Field(ge=1, le=86400)] = 3660
    """Seconds an idle connection is kept: longer than gateways keep theirs (Envoy: one hour), so that the side that
    sends is the side that closes, and no request meets a closing connection."""

    @model_validator(mode="after")
    def _tls_has_both_files(self) -> "Settings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("KV_TLS_CERTIFICATE and KV_TLS_KEY go together: give both files, or none")
        return self

    @model_validator(mode="after")
    def _copies_are_gone_when_sessions_forget(self) -> "Settings":
        if self.cache_ttl_s + self.cache_stale_s > LIFE_S:
            raise ValueError(
                f"KV_CACHE_TTL_S and KV_CACHE_STALE_S are {self.cache_ttl_s + self.cache_stale_s:g} s together, "
                f"at most {LIFE_S} are allowed: sessions forget after that"
            )
        return self


def load() -> Settings:
    """From the environment. Raises SettingsError with a sentence for each wrong variable."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(each) for each in error.errors())) from None


def _sentence(error: Any) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return f"{message}; see kvservice serve --help"
    name = PREFIX + str(error["loc"][0]).upper()
    is_secret = isinstance(Settings.model_fields[str(error["loc"][0])].default, SecretStr)
    value = "…" if is_secret else re.sub(r"//[^@\s]*@", "//…@", repr(error["input"]))  # passwords are not for the log
    return f"{name}={value}: {message[0].lower()}{message[1:]}; see kvservice serve --help"


def table() -> str:
    """Name, default and meaning of every variable, for `--help`."""
    lines = []
    for name, field in Settings.model_fields.items():
        lines.append(f"  {PREFIX}{name.upper()} [{_shown(field.default)}]\n      {field.description}")
    return "\n".join(lines)


def _shown(default: Any) -> str:
    match default:
        case SecretStr() | None | {}:
            return ""
        case tuple():
            return ",".join(each.name if isinstance(each, Namespace) else str(each) for each in default)
        case _:
            return str(default)

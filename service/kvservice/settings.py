"""Settings: environment variables KV_*, each with unit, default and reason. Read once, at start."""

import re
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from kvservice.errors import SettingsError

PREFIX = "KV_"


def _address(value: str) -> str:
    ip_address(value)
    return value


def _cache_url(value: str) -> str:
    if value and not re.match(r"(redis|rediss)://[^/\s]+(/\d+)?$|unix:///\S+$", value):
        raise ValueError("expected redis://host:port, rediss://host:port or unix:///path, or nothing for no cache")
    return value


def _comma_list(value: Any) -> Any:
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Port = Annotated[int, Field(ge=1, le=65535)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:+-]+$", max_length=128)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, use_attribute_docstrings=True)

    bind: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    """IP address of both ports. Loopback by default: nothing is offered to a network unasked."""
    port: Port = 8080
    """Port of the data API."""
    admin_port: Port = 9090
    """Port of /healthz, /readyz and /metrics, which clients of the data API must not reach."""
    region: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)] = "local"
    """Name of the region; it is kept with every record as its origin."""
    revision: Word = "local"
    """Name of the revision, shown in kv_build_info."""
    pod: Word = socket.gethostname()
    """Name of the pod; the writer slot of the versions is made of it. The host's name by default."""
    store_path: Path = Path("kv.db")
    """SQLite file, on a local disk; pods of one machine may share it. In the working folder by default."""
    cache_url: Annotated[str, AfterValidator(_cache_url)] = ""
    """redis://host:port of the region's cache; none by default, because the store works alone."""
    cache_ttl_s: Annotated[float, Field(ge=0.001, le=31_536_000, allow_inf_nan=False)] = 600.0
    """Seconds an entry stays in the cache: the longest time a copy may be old after a failed invalidation."""
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


def load() -> Settings:
    """From the environment. Raises SettingsError with a sentence for each wrong variable."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(each) for each in error.errors())) from None


def _sentence(error: Any) -> str:
    name = PREFIX + str(error["loc"][0]).upper()
    message = error["msg"].removeprefix("Value error, ")
    value = re.sub(r"//[^@\s]*@", "//…@", repr(error["input"]))  # a password is not for the log
    return f"{name}={value}: {message[0].lower()}{message[1:]}; see kvservice serve --help"


def table() -> str:
    """Name, default and meaning of every variable, for `--help`."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        lines.append(f"  {PREFIX}{name.upper()} [{default}]\n      {field.description}")
    return "\n".join(lines)

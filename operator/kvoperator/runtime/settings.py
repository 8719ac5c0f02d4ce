"""What the operator's environment may say: variables `KVOPERATOR_*`, see operator/install.yaml."""

from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from kvoperator.errors import SettingsError

PREFIX = "KVOPERATOR_"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    prometheus_url: str = Field(pattern=r"^https?://[^/\s]+", description="Where the gates' counts come from.")
    namespace: str | None = Field(default=None, min_length=1, description="The only one to look at. Default: all.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error."
    )
    log_format: Literal["json", "console"] = Field(default="json", description="json, or console for people.")
    health_address: str = Field(default="127.0.0.1", min_length=1, description="Where /healthz listens.")
    health_port: int = Field(default=8081, ge=1, le=65535, description="Its port.")


def settings() -> Settings:
    """Raises SettingsError with one line that names every variable that is wrong."""
    try:
        return Settings()  # the environment gives what is required
    except ValidationError as error:
        wrong = [f"{PREFIX}{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()]
        raise SettingsError("; ".join(wrong)) from error

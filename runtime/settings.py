"""What the environment says; see the table in docs/operating.md."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from messaging.errors import InvalidInput

__all__ = ["Ports", "Settings", "load_settings"]

CHECKOUT = Path(__file__).parent.parent


class Ports(BaseSettings):
    """Loopback ports of the embedded servers. One that is set by hand is kept to; others give way when taken."""

    model_config = SettingsConfigDict(env_prefix="DRUMBEAT_", frozen=True)

    temporal_port: int = Field(7233, ge=1, le=65535)
    ui_port: int = Field(8233, ge=1, le=65535)
    postgres_port: int = Field(55432, ge=1, le=65535)
    simulator_port: int = Field(8055, ge=1, le=65535)


class Settings(BaseSettings):
    """Where Drumbeat's servers are, and how its worker runs. Temporal's own settings are ``TEMPORAL_*``."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True)

    database_url: str | None = Field(None, validation_alias="DATABASE_URL")
    """PostgreSQL; unset together with Temporal's address: the embedded servers."""
    home: Path = Field(CHECKOUT / ".drumbeat", validation_alias="DRUMBEAT_HOME")
    """Data and logs of the embedded servers."""
    task_queue: str = Field("drumbeat", validation_alias="DRUMBEAT_TASK_QUEUE")
    simulator_url: str | None = Field(None, validation_alias="DRUMBEAT_SIMULATOR_URL")
    """The simulated gateway, where the servers are not the embedded ones."""
    pool_size: int = Field(20, ge=1, validation_alias="DRUMBEAT_POOL_SIZE")
    """Connections to PostgreSQL of one process, at most."""
    ports: Ports = Field(default_factory=Ports)


def load_settings() -> Settings:
    """Reads the environment. Raises InvalidInput, naming the variables, where a value cannot be used."""
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{_variable(problem['loc'])}: {problem['msg']}, not {problem['input']!r}"
            for problem in error.errors()
        )
        raise InvalidInput(f"environment: {problems}") from error


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[-1]).upper()
    return name if name.startswith(("DRUMBEAT_", "DATABASE_")) else f"DRUMBEAT_{name}"

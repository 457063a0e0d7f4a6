"""All settings of the project, read once from the environment (or a `.env` file); documented in `.env.example`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

SchemaName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]


class Settings(BaseSettings):
    """Settings named ``ETL_…`` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="ETL_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    database_url: SecretStr | None = None
    """A PostgreSQL 14+ server of one's own; without it the embedded one under `home` is used."""
    home: Path = Path(".etl")
    """Where the embedded database and Dagster's instance live."""
    db_schema: SchemaName = Field(default="etl", validation_alias="ETL_SCHEMA")
    """The schema that holds all tables."""
    batch_size: int = Field(default=100_000, ge=1, le=5_000_000)
    """Rows per batch, and so per transaction; memory grows with it."""
    cold_after_days: int | None = Field(default=None, ge=1)
    """An OPEN lead becomes COLD after so many days without an order; never where it is not set."""

    @property
    def postgres_directory(self) -> Path:
        """Where the embedded PostgreSQL keeps its data."""
        return self.home.resolve() / "postgres"

    @property
    def dagster_home(self) -> Path:
        """The default of DAGSTER_HOME."""
        return self.home.resolve() / "dagster"

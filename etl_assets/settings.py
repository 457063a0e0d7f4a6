"""All settings of the project, read once from the environment (or a `.env` file); documented in `.env.example`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from etl_assets.limits import READER_MEMORY_MB

SchemaName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]

SampleRows = Literal["on", "masked", "off"]


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
    freshness_hours: int = Field(default=26, ge=1, le=8760)
    """An asset that no run has materialised for so long is shown with a warning, after twice as long as failed."""
    sample_rows: SampleRows = "on"
    """How much of the rows' texts Dagster is told, which keeps it for ever: all, their shape, or nothing."""
    cold_after_days: int | None = Field(default=None, ge=1)
    """An OPEN lead becomes COLD after so many days without an order; never where it is not set."""

    sensor_interval_seconds: int = Field(default=5, ge=1, le=3600)
    """How often each sensor looks for work, in seconds; the daemon has a rhythm of 5 of its own."""
    inbox: Path | None = None
    """A folder to drop export files in; `inbox` under `home` where it is not set."""
    inbox_settle_seconds: float = Field(default=3.0, ge=0)
    """A file in the inbox is finished when nobody has it open for writing and it has not changed for so long."""
    reader_memory_mb: int = Field(default=READER_MEMORY_MB, ge=512)
    """Memory of the process that reads import files, in MiB; a file that needs more is refused."""
    sources: Path | None = None
    """The file that names other databases to pull orders from (`sources.yaml`)."""

    notify_webhook_url: SecretStr | None = None
    """Where notices of failed runs and checks are POSTed to, as JSON with Slack's `text`."""
    notify_email_to: str | None = None
    """Who gets notices by e-mail, separated by commas; needs the next two."""
    notify_email_from: str | None = None
    """The sender of those e-mails."""
    smtp_url: SecretStr | None = None
    """The mail server: `smtp://user:password@host:587` (STARTTLS) or `smtps://…`."""
    public_url: str | None = None
    """Where people reach the UI; notices link there, and the UI answers to its host name."""

    @property
    def inbox_folder(self) -> Path:
        """The folder to drop export files in."""
        return (self.inbox or self.home / "inbox").resolve()

    @property
    def postgres_directory(self) -> Path:
        """Where the embedded PostgreSQL keeps its data."""
        return self.home.resolve() / "postgres"

    @property
    def dagster_home(self) -> Path:
        """The default of DAGSTER_HOME."""
        return self.home.resolve() / "dagster"

"""Settings of the project, read from the environment (or a `.env` file) and documented in `.env.example`.

The only place that reads `ETL_…` variables, except for `ETL_DAGSTER_DATABASE_URL`, which Dagster reads (`urls.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from etl_assets.limits import READER_MEMORY_MB


def _require_timezone(name: str) -> str:
    if name not in available_timezones():
        msg = "there is no such time zone; use a name such as Asia/Shanghai or Europe/London"
        raise ValueError(msg)
    return name


SchemaName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]

TimezoneName = Annotated[str, AfterValidator(_require_timezone)]

SampleRows = Literal["on", "masked", "off"]


class Settings(BaseSettings):
    """Settings named ``ETL_…`` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="ETL_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    database_url: SecretStr | None = None
    """URL of a PostgreSQL 14+ server; without it, the embedded one under `home` is used."""
    home: Path = Path(".etl")
    """Folder of the embedded database and of Dagster's instance."""
    db_schema: SchemaName = Field(default="etl", validation_alias="ETL_SCHEMA")
    """Database schema that holds all tables."""
    batch_size: int = Field(default=100_000, ge=1, le=5_000_000)
    """Rows per batch, which is a transaction; memory use grows with it."""
    freshness_hours: int = Field(default=26, ge=1, le=8760)
    """Age from which an asset is shown with a warning; after twice as long, as failed."""
    sample_rows: SampleRows = "on"
    """Texts of rows in Dagster's events, which are kept for ever: all of a text, its shape, or none."""
    cold_after_days: int | None = Field(default=None, ge=1)
    """Days without an order after which an OPEN lead becomes COLD; never where it is not set."""
    brake_share: float = Field(default=0.2, ge=0, le=1)
    """Share of a table's rows of which an import may remove or empty no more, or it is held; 1 is the brake's off."""
    brake_rows: int = Field(default=20, ge=0)
    """Orders that an import has to change for the worse before it is held; 0 or 1: no minimum."""

    sensor_interval_seconds: int = Field(default=5, ge=1, le=3600)
    """Minimum interval of each sensor, in seconds; the daemon evaluates sensors every 5 seconds at most."""
    sensor_wait_seconds: float = Field(default=4.5, ge=0, le=30)
    """Seconds that the sensors of the inbox and of imports wait within a tick for work to come; a little less than the
    five seconds between two ticks leaves no gap."""
    inbox: Path | None = None
    """Folder for export files to import; `inbox` under `home` where it is not set."""
    inbox_settle_seconds: float = Field(default=3.0, ge=0)
    """Seconds without a change after which an inbox file that no process has open for writing is complete."""
    reader_memory_mb: int = Field(default=READER_MEMORY_MB, ge=512)
    """Memory limit of the process that reads import files, in MiB; a file that needs more is refused."""
    presets: Path | None = None
    """Folder of the user's own presets; `presets` under `home` where it is not set."""
    sources: Path | None = None
    """File that describes other databases to pull orders from (`sources.yaml`)."""

    notify_webhook_url: SecretStr | None = None
    """Webhook that receives alerts about failed runs and checks, as JSON with Slack's `text`."""
    notify_email_to: str | None = None
    """Addresses that receive alerts by e-mail, separated by commas; needs the next two."""
    notify_email_from: str | None = None
    """Sender of those e-mails."""
    smtp_url: SecretStr | None = None
    """Mail server: `smtp://user:password@host:587` (STARTTLS) or `smtps://…`."""
    public_url: str | None = None
    """Public URL of the UI; alerts link there, and the UI answers to its host name."""
    notify_bad_rows: int = Field(default=1, ge=0)
    """New bad rows from which a digest of them is sent as an alert; 0: none is sent."""
    notify_bad_rows_minutes: int = Field(default=60, ge=0)
    """Minimum time between two such digests, in minutes."""

    web_url: str | None = None
    """Public URL of the web page: alerts link there, and the page answers to its host name."""
    web_trusted_proxies: str | None = None
    """Addresses and networks of proxies whose reports about the client are believed, separated by commas."""
    web_user_header: str | None = None
    """Header in which those proxies report the user whom they have logged in, such as `X-Remote-User`."""
    user_password: SecretStr | None = None
    """Password for `users add` and `users password`, which ask for it where it is not set."""
    web_timezone: TimezoneName = "UTC"
    """Time zone in which the web page shows times."""
    web_session_hours: int = Field(default=12, ge=1, le=8760)
    """Hours after log-in when a session of the web page ends."""
    web_upload_mb: int = Field(default=200, ge=1, le=10_000)
    """Limit of an upload to the web page, in MiB."""

    @property
    def inbox_folder(self) -> Path:
        """Return the folder for export files to import."""
        return (self.inbox or self.home / "inbox").resolve()

    @property
    def presets_folder(self) -> Path:
        """Return the folder of the user's own presets."""
        return (self.presets or self.home / "presets").resolve()

    @property
    def postgres_directory(self) -> Path:
        """Return the data directory of the embedded PostgreSQL."""
        return self.home.resolve() / "postgres"

    @property
    def dagster_home(self) -> Path:
        """Return the default of DAGSTER_HOME."""
        return self.home.resolve() / "dagster"

"""Model of an alert, and the protocol of a channel. The channels are in modules of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from etl_assets.errors import EtlError

if TYPE_CHECKING:
    from collections.abc import Callable

AlertKind = Literal[
    "run_failed",
    "check_failed",
    "import_held",
    "import_refused",
    "inputs_left",
    "columns_changed",
    "unknown_statuses",
    "bad_rows",
    "test",
]


class AlertError(EtlError):
    """Raised for an alert that could not be sent, and for settings of a channel that can't be used."""


class Alert(BaseModel):
    """Alert about a run, a job, an asset, a check or an import.

    Its texts are messages of this project's own: no customer's data, no secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: AlertKind
    title: Annotated[str, AfterValidator(lambda title: " ".join(title.split())), Field(min_length=1, max_length=200)]
    """Single line; the subject of an e-mail."""
    text: str
    asset: str | None = None
    run_id: str | None = None
    url: str | None = None
    """Link to the web page or into the UI; None where neither ETL_WEB_URL nor ETL_PUBLIC_URL is set."""
    at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def body(self) -> str:
        """Return title, text and link as plain text."""
        return "\n".join(part for part in (self.title, self.text, self.url) if part)


def retrying(attempts: int, may_pass: Callable[[BaseException], bool]) -> Retrying:
    """Return a retry policy of a few seconds for errors that `may_pass`; the last error is raised."""
    return Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.2, max=2),
        retry=retry_if_exception(may_pass),
        reraise=True,
    )


class Channel(Protocol):
    """Way to deliver alerts."""

    name: str
    """Name in messages and in `etl-assets alerts test`."""
    has_recipients: bool
    """False for the log: an alert there counts as delivered only if no other channel is configured."""

    def send(self, alert: Alert) -> None:
        """Send an alert, with retries for a few seconds. Raises `AlertError`."""

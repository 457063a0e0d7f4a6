"""What a alert is, and what sends one. How it gets somewhere is in the module of each channel beside this one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from etl_assets.errors import EtlError

if TYPE_CHECKING:
    from collections.abc import Callable

AlertKind = Literal["run_failed", "check_failed", "test"]


class AlertError(EtlError):
    """A alert could not be sent, or a channel's settings can't be used."""


def _one_line(text: str) -> str:
    return " ".join(text.split())


class Alert(BaseModel):
    """Something that people should know.

    It names runs, jobs, assets and checks, and holds messages of this project's own; no customer's data, no secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: AlertKind
    title: Annotated[str, AfterValidator(_one_line), Field(min_length=1, max_length=200)]
    """One line; the subject of an e-mail."""
    text: str
    asset: str | None = None
    run_id: str | None = None
    url: str | None = None
    """Where the UI shows it; None where ETL_PUBLIC_URL is not set."""
    at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def body(self) -> str:
        """Title, text and link as plain text."""
        return "\n".join(part for part in (self.title, self.text, self.url) if part)


def retrying(attempts: int, may_pass: Callable[[BaseException], bool]) -> Retrying:
    """Try again, for a few seconds, what may pass; the last error is passed on."""
    return Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.2, max=2),
        retry=retry_if_exception(may_pass),
        reraise=True,
    )


class Channel(Protocol):
    """A way to people."""

    name: str
    """As messages and `etl-assets alerts test` call it."""
    reaches_people: bool
    """False for a log, which nobody may be reading."""

    def send(self, alert: Alert) -> None:
        """Send a alert, trying again for a few seconds what may pass. Raises `AlertError`."""

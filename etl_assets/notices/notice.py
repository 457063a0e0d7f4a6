"""What a notice is, and what sends one. How it gets somewhere is in the module of each channel beside this one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from etl_assets.errors import EtlError

NoticeKind = Literal["run_failed", "check_failed", "test"]


class NoticeError(EtlError):
    """A notice could not be sent, or a channel's settings can't be used."""


def _one_line(text: str) -> str:
    return " ".join(text.split())


class Notice(BaseModel):
    """Something that people should know.

    It names runs, jobs, assets and checks, and holds messages of this project's own; no customer's data, no secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: NoticeKind
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


class Channel(Protocol):
    """A way to people."""

    name: str
    """As messages and `etl-assets notices test` call it."""
    reaches_people: bool
    """False for a log, which nobody may be reading."""

    def send(self, notice: Notice) -> None:
        """Send a notice, trying again for a few seconds what may pass. Raises `NoticeError`."""

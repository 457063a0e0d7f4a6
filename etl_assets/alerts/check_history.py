"""History of check results: decides when a failed check is worth an alert.

An alert is due when a check begins to fail, and again each day while it fails. The history is kept as JSON in the
cursor of the sensor `notify_failed_checks`: renamed fields must still be read under their old names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

REMIND_AFTER_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Outcome of one evaluation of a check; `at` is in seconds since 1970."""

    check: str
    failed: bool
    at: float


class CheckState(BaseModel):
    """Last evaluation of a check that was seen, and the time of the last alert (None while it passes)."""

    model_config = ConfigDict(frozen=True)

    seen_at: float
    notified_at: float | None = Field(default=None, validation_alias=AliasChoices("notified_at", "told_at"))
    """Stored as `told_at` before it was renamed."""


class CheckHistory(BaseModel):
    """States of all checks; grows with the number of checks, not of runs."""

    model_config = ConfigDict(frozen=True)

    since: float
    """Start of the history: earlier evaluations cause no alert."""
    checks: dict[str, CheckState] = {}

    def is_new(self, evaluation: Evaluation) -> bool:
        """Return whether the evaluation has not been seen yet."""
        state = self.checks.get(evaluation.check)
        return evaluation.at > (state.seen_at if state else self.since)

    def should_notify(self, evaluation: Evaluation) -> bool:
        """Return whether the evaluation is worth an alert."""
        if not evaluation.failed:
            return False
        notified_at = self._notified_at(evaluation.check)
        return notified_at is None or evaluation.at - notified_at >= REMIND_AFTER_SECONDS

    def after(self, evaluation: Evaluation) -> CheckHistory:
        """Return the history with the evaluation added; an alert that was due counts as sent."""
        notified_at = self._notified_at(evaluation.check) if evaluation.failed else None
        if self.should_notify(evaluation):
            notified_at = evaluation.at
        state = CheckState(seen_at=evaluation.at, notified_at=notified_at)
        return CheckHistory(since=self.since, checks={**self.checks, evaluation.check: state})

    def _notified_at(self, check: str) -> float | None:
        state = self.checks.get(check)
        return state.notified_at if state else None

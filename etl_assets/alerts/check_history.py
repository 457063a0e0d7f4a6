"""When a failed check deserves a alert: when it fails after it passed, and again each day that it goes on failing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict

REMIND_AFTER_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One outcome of one check. `at` is in seconds since 1970."""

    check: str
    failed: bool
    at: float


class CheckState(BaseModel):
    """What was seen of a check last, and when people were told that it fails (None while it passes)."""

    model_config = ConfigDict(frozen=True)

    seen_at: float
    notified_at: float | None = None


class CheckHistory(BaseModel):
    """The states of all checks. It grows with the number of checks, not of runs, and is kept as JSON."""

    model_config = ConfigDict(frozen=True)

    since: float
    """What was evaluated before is history that nobody is told of."""
    checks: dict[str, CheckState] = {}

    def is_new(self, evaluation: Evaluation) -> bool:
        """Whether the evaluation has not been seen yet."""
        state = self.checks.get(evaluation.check)
        return evaluation.at > (state.seen_at if state else self.since)

    def should_notify(self, evaluation: Evaluation) -> bool:
        """Whether people should be told of it."""
        if not evaluation.failed:
            return False
        notified_at = self._notified_at(evaluation.check)
        return notified_at is None or evaluation.at - notified_at >= REMIND_AFTER_SECONDS

    def after(self, evaluation: Evaluation) -> CheckHistory:
        """The history with the evaluation in it, and with the alert that it deserved as sent."""
        notified_at = self._notified_at(evaluation.check) if evaluation.failed else None
        if self.should_notify(evaluation):
            notified_at = evaluation.at
        state = CheckState(seen_at=evaluation.at, notified_at=notified_at)
        return CheckHistory(since=self.since, checks={**self.checks, evaluation.check: state})

    def _notified_at(self, check: str) -> float | None:
        state = self.checks.get(check)
        return state.notified_at if state else None

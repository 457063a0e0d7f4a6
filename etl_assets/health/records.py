"""Model of what Dagster has recorded, as far as health is concerned; `orchestration.health_records` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

Severity = Literal["error", "warn"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Last finished result of one asset check."""

    asset: str
    check: str
    passed: bool
    severity: Severity
    at: dt.datetime
    run_id: str
    count: int | None = None
    """Violations, where the check counts them."""
    problems: str | None = None
    """What the check has found, in words of this project, where it says so."""


@dataclass(frozen=True, slots=True)
class FailedRun:
    """Run that failed; `reason` is in words of this project."""

    run_id: str
    job: str
    at: dt.datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Records:
    """Records of the Dagster instance."""

    checks: Sequence[CheckResult] = ()
    """Of each check that has ever finished, the last finished result."""
    failed_runs: Sequence[FailedRun] = ()
    """Of each job of assets whose last finished run failed, that run."""
    is_running: bool = False
    """A run is queued or in progress."""
    daemon_seen_at: dt.datetime | None = None
    """Last heartbeat of the daemon; None where none ever ran, as with commands only."""
    switched_off: Sequence[str] = ()
    """Sensors and schedules that are on by default and were switched off."""

    @property
    def failed_checks(self) -> list[CheckResult]:
        """Return the checks that fail."""
        return [result for result in self.checks if not result.passed]

"""Dagster instance: opens the store of runs, events and schedules, under ETL_HOME unless DAGSTER_HOME is set.

Holds the settings of the instance for development; those of production are in `deploy/dagster.yaml`. See
https://docs.dagster.io/deployment/oss/oss-instance-configuration, and docs/decisions.md, "Instance lock".
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import yaml

from etl_assets.folders import locked, writing_into
from etl_assets.urls import check_dagster_url

if TYPE_CHECKING:
    from etl_assets.settings import Settings

LOCK_SECONDS: Final = 120.0

MARKER: Final = "# Written by etl_assets at each start; delete this line to keep a version of your own.\n"

INSTANCE_SETTINGS: Final[dict[str, Any]] = {
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    "run_coordinator": {
        "module": "dagster.core.run_coordinator",
        "class": "QueuedRunCoordinator",
        # Five seconds, the default, would be a third of the time from an import to its leads.
        # The retries keep a run in the queue while its code server restarts.
        "config": {
            "dequeue_interval_seconds": 1,
            "max_user_code_failure_retries": 5,
            "user_code_failure_retry_delay": 10,
        },
    },
    # Some sensors wait for work within their tick (`orchestration.waiting`); in threads they hold up no other.
    "sensors": {"use_threads": True, "num_workers": 4},
    # One run at a time per asset. Counted by runs, not by steps: a killed step would keep its slot.
    "concurrency": {"runs": {"max_concurrent_runs": 4}, "pools": {"default_limit": 1, "granularity": "run"}},
    "run_monitoring": {
        "enabled": True,
        "poll_interval_seconds": 30,
        "start_timeout_seconds": 180,
        "cancel_timeout_seconds": 60,
        "max_runtime_seconds": 6 * 3600,
    },
    # Dagster retries a run whose worker died; after a failed asset, the sensors request a run again, with a backoff.
    "run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False},
    "retention": {
        "sensor": {"purge_after_days": {"skipped": 1, "failure": 30, "success": 30, "started": 30}},
        "schedule": {"purge_after_days": {"skipped": 1, "failure": 30, "success": 30, "started": 30}},
    },
}
"""Settings of the instance of `make dev` and of the commands."""

_FIRST_VERSION: Final = "nux:\n  enabled: false\ntelemetry:\n  enabled: false\n"
"""Content of the file before it had a marker."""


def dagster_home(settings: Settings) -> Path:
    """Return the folder of the instance."""
    return Path(os.environ.get("DAGSTER_HOME") or settings.dagster_home).resolve()


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance, creating it if needed; the caller closes it (it is a context manager).

    Raises:
        FolderError: its folder can't be written.
        SettingsUrlError: the URL of its database can't be used.
    """
    check_dagster_url()
    home = dagster_home(settings)
    os.environ["DAGSTER_HOME"] = str(home)
    with writing_into(home, "DAGSTER_HOME or ETL_HOME"):
        home.mkdir(parents=True, exist_ok=True)
        # Dagster creates its SQLite databases without a lock: two processes at once would fail. A folder that can't be
        # written has none of them.
        lock = locked(home / ".lock", seconds=LOCK_SECONDS) if os.access(home, os.W_OK) else nullcontext()
        with lock:
            _write_configuration(home / "dagster.yaml")
            return dg.DagsterInstance.get()


def _write_configuration(configuration: Path) -> None:
    """Write `dagster.yaml` unless the user has edited it; atomically, since other processes may read it any time."""
    text = configuration.read_text(encoding="utf-8") if configuration.exists() else MARKER
    wanted = MARKER + yaml.safe_dump(INSTANCE_SETTINGS, sort_keys=False)
    if text != wanted and (text.startswith(MARKER) or text == _FIRST_VERSION):
        new = configuration.with_name(f"{configuration.name}.new")
        new.write_text(wanted, encoding="utf-8")
        new.replace(configuration)

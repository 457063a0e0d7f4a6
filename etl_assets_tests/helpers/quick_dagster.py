"""Dagster's SQLite storage without repeated work, for tests that run jobs in their own process.

Dagster makes an engine for each statement, which thus is compiled each time, and reads all of its own migrations for
the database of each run: a third of the processor time of a small run. Here both are made once. What is stored is the
same; processes that tests start have Dagster as it is.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    import pytest
    from alembic.config import Config


@lru_cache(maxsize=50)
def _engine(url: str, timeout: float | None) -> sa.Engine:
    return sa.create_engine(url, poolclass=NullPool, connect_args={} if timeout is None else {"timeout": timeout})


def _create_engine(url: str, poolclass: type[NullPool], connect_args: dict[str, Any] | None = None) -> sa.Engine:
    """Return the engine of a file. It keeps no connection, so that the file may be deleted."""
    assert poolclass is NullPool
    return _engine(url, **{"timeout": None, **(connect_args or {})})


_read_scripts: Final = ScriptDirectory.from_config
_scripts: Final[dict[str, ScriptDirectory]] = {}


def _scripts_of(config: Config) -> ScriptDirectory:
    """Return the migrations of a configuration: our own are read anew, as there is a test that adds to them."""
    location = config.get_main_option("script_location") or ""
    if "dagster" not in Path(location).parts:
        return _read_scripts(config)
    if location not in _scripts:
        _scripts[location] = _read_scripts(config)
    return _scripts[location]


def make_dagster_quick(patch: pytest.MonkeyPatch) -> None:
    """Make Dagster's storage in this process keep its engines and migrations."""
    for storage in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        patch.setattr(storage, "create_engine", _create_engine)
    patch.setattr(ScriptDirectory, "from_config", _scripts_of)

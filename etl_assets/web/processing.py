"""Processing of what a page has changed: small work at once, larger work by a run of its own.

A change is committed before this: if nothing is run here, Dagster's sensors or the next run process it.
"""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final

from etl_assets.ledger.queue import count_pending_rows
from etl_assets.run.at_once import ROWS_AT_ONCE, run_at_once
from etl_assets.web.language import N_
from etl_assets.web.page import database_of, translate

if TYPE_CHECKING:
    from starlette.requests import Request

    from etl_assets.database.database import Database

_LEFT: Final = N_(
    "%(rows)s rows are pending: Dagster's sensors process them within seconds; without them, press “Run now”."
)


class BackgroundRun:
    """The one `etl-assets run` that a page has started: a process of its own, with its own memory."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_alive(self) -> bool:
        """Return whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> bool:
        """Start it in the environment of this process; return False where it runs already."""
        with self._lock:
            if self.is_alive:
                return False
            program = Path(sysconfig.get_path("scripts")) / "etl-assets"
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [str(program), "run", "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            Thread(target=self._process.wait, daemon=True).start()
            return True


BACKGROUND_RUN: Final = BackgroundRun()


def process_changes(request: Request) -> str:
    """Run what is pending at once where it is little; return in words what else is to be known, if anything."""
    done = run_at_once(database_of(request))
    if done.problem is not None:
        return translate(request, N_("The run ended with a problem: %(problem)s"), problem=done.problem)
    return translate(request, _LEFT, rows=f"{done.pending_rows:,}") if done.pending_rows else ""


def rows_left(database: Database) -> int:
    """Return the pending rows if they are too many to be run at once; else 0, as they are run with the next change."""
    with database.transaction() as connection:
        pending = count_pending_rows(connection)
    return pending if pending > ROWS_AT_ONCE else 0

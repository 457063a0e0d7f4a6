"""State of the pipeline, read from its tables: age and backlog of each asset, quarantine, failed imports.

The Dagster asset `pipeline_health` shows it (`orchestration/health.py`), with Dagster's own records added there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from etl_assets.asset_graph import TABLE_OF
from etl_assets.orders.import_outcomes import quarantined_imports_of_last_days
from etl_assets.quarantine.open_rows import count_open_rows
from etl_assets.reporting.failed_imports import read_failed_imports
from etl_assets.reporting.held import read_held_imports
from etl_assets.reporting.pages import table

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from etl_assets.database.database import Database
    from etl_assets.orders.import_outcomes import ImportOutcome
    from etl_assets.reporting.failed_imports import FailedImports
    from etl_assets.reporting.held import HeldImport

FAILED_IMPORTS_SHOWN: Final = 5
IMPORT_DAYS: Final = 7

_ASSETS: Final = """
    SELECT a.asset, b.finished_at AS last_batch_at, CAST(extract(epoch FROM now() - b.finished_at) AS float) AS age,
           coalesce(w.rows, 0) AS pending_rows, CAST(extract(epoch FROM now() - w.since) AS float) AS waiting
    FROM unnest(CAST(:assets AS text[])) WITH ORDINALITY a (asset, place)
    LEFT JOIN LATERAL (
        SELECT finished_at FROM etl_batches WHERE asset = a.asset ORDER BY batch_id DESC LIMIT 1
    ) b ON true
    LEFT JOIN LATERAL (
        SELECT CAST(sum(q.high - q.low + 1) AS bigint) AS rows, min(u.finished_at) AS since
        FROM etl_work q LEFT JOIN etl_batches u USING (batch_id) WHERE q.asset = a.asset
    ) w ON true
    ORDER BY a.place
"""


@dataclass(frozen=True, slots=True)
class AssetState:
    """Last batch and backlog of an asset. Ages are in seconds."""

    asset: str
    last_batch_at: dt.datetime | None
    age: float | None
    pending_rows: int
    """Upper bound: a range of the queue may hold numbers without a row."""
    waiting: float | None
    """Age of the oldest pending row."""


@dataclass(frozen=True, slots=True)
class PipelineState:
    """State of the whole pipeline; holds no customer's data."""

    assets: Sequence[AssetState]
    quarantine: Sequence[dict[str, Any]]
    """`asset`, `reason_code`, `rows`, `since` of open rows."""
    failed_imports: FailedImports
    """Those of the week."""

    quarantined_imports: Sequence[ImportOutcome]
    """Those of the week with orders that could not be read."""

    held_imports: Sequence[HeldImport]
    """Those that wait for users to accept or revert them."""

    @property
    def pending_rows(self) -> int:
        """Count the rows that are pending for any asset."""
        return sum(state.pending_rows for state in self.assets)

    @property
    def quarantined_rows(self) -> int:
        """Count the open rows of quarantine."""
        return sum(entry["rows"] for entry in self.quarantine)


def read_pipeline_state(database: Database) -> PipelineState:
    """Read the state in one transaction, from the ledger only: cheap however many orders are stored."""
    with database.transaction() as connection:
        assets = connection.execute(sa.text(_ASSETS), {"assets": list(TABLE_OF)}).all()
        quarantine = sorted(count_open_rows(connection), key=lambda entry: -entry["rows"])
        failed_imports = read_failed_imports(connection, days=IMPORT_DAYS, shown=FAILED_IMPORTS_SHOWN)
        quarantined_imports = quarantined_imports_of_last_days(connection, IMPORT_DAYS)
        held_imports = read_held_imports(connection)
    return PipelineState(
        [AssetState(*row) for row in assets],
        quarantine,
        failed_imports,
        quarantined_imports,
        held_imports,
    )


def summary(state: PipelineState) -> str:
    """Summarise the state in a few words."""
    waiting = max((one.waiting or 0.0 for one in state.assets), default=0.0)
    pending = (
        f"{state.pending_rows:,} rows pending for {duration(waiting)}" if state.pending_rows else "nothing pending"
    )
    held = f" · {len(state.held_imports):,} held imports" if state.held_imports else ""
    quarantined = f"{state.quarantined_rows:,} rows in quarantine"
    return f"{pending} · {quarantined} · {state.failed_imports.total:,} failed imports{held}"


def state_sections(state: PipelineState) -> dict[str, str]:
    """Return the state as sections of a page: title → Markdown."""
    assets = [
        [one.asset, _timestamp(one.last_batch_at), duration(one.age), one.pending_rows, duration(one.waiting)]
        for one in state.assets
    ]
    quarantine = [[one["asset"], one["reason_code"], one["rows"], _timestamp(one["since"])] for one in state.quarantine]
    imports = [
        [_timestamp(one["created_at"]), PurePath(one["source"]).name, (one["error"] or "")[:300]]
        for one in state.failed_imports.shown
    ]
    unreadable = [
        [PurePath(one.source).name, one.rows, one.unreadable, one.hint]
        for one in state.quarantined_imports[:FAILED_IMPORTS_SHOWN]
    ]
    correct = "Correct them with the jobs `export_quarantine` and `replay_quarantine`, or with `etl-assets quarantine`."
    return {
        "Freshness and backlog": table(
            ["asset", "last batch (UTC)", "age", "pending rows, at most", "oldest pending for"], assets
        ),
        "Open quarantine": f"{table(['asset', 'code', 'rows', 'since'], quarantine)}\n\n{correct}"
        if quarantine
        else NONE,
        "Held imports": _held_imports(state.held_imports),
        f"Imports that failed in the last {IMPORT_DAYS} days": (
            f"{state.failed_imports.total} in all, the last ones:\n\n{table(['at (UTC)', 'file', 'error'], imports)}"
            if imports
            else NONE
        ),
        f"Imports of the last {IMPORT_DAYS} days with orders that could not be read": (
            table(["file", "orders", "could not be read", "why"], unreadable) if unreadable else NONE
        ),
    }


def _held_imports(held: Sequence[HeldImport]) -> str:
    if not held:
        return NONE
    rows = [[PurePath(one.source).name, str(one.import_id), one.rows, one.message] for one in held]
    decide = "Let them through with the job `accept_import`, or take them back with `revert_import`."
    return f"{table(['file', 'import', 'orders', 'why'], rows)}\n\n{decide}"


NONE: Final = "None."


def duration(seconds: float | None) -> str | None:
    """Write seconds in the two largest units: 40 s, 3 min, 2 h 5 min, 4 d 3 h."""
    if seconds is None:
        return None
    minutes = int(seconds) // 60
    if minutes < 1:
        return f"{max(int(seconds), 0)} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 1:
        return f"{minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"


def _timestamp(instant: dt.datetime | None) -> str | None:
    return None if instant is None else f"{instant:%Y-%m-%d %H:%M}"

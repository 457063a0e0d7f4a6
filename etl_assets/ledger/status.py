"""Queries behind `status` and `quarantine list`: state of the ledger, without any customer's data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from etl_assets.asset_graph import STEP_ASSETS, TABLES_OF

if TYPE_CHECKING:
    from uuid import UUID

TABLES: Final = tuple(table for tables in TABLES_OF.values() for table in tables)

_IMPORTS: Final = """
    SELECT import_id, source, preset, status, line_count, row_count, error, created_at, completed_at
    FROM import_tasks ORDER BY created_at DESC, import_id FETCH FIRST :limit ROWS ONLY
"""
_BATCHES: Final = """
    SELECT batch_id, asset, run_id, status, input_rows, inserted, updated, unchanged, superseded, quarantined, deleted,
           duration, started_at, finished_at
    FROM etl_batches ORDER BY batch_id DESC FETCH FIRST :limit ROWS ONLY
"""
_PENDING: Final = """
    SELECT asset, count(*) AS ranges, CAST(sum(high - low + 1) AS bigint) AS rows FROM etl_work GROUP BY asset
"""
_QUARANTINE: Final = """
    SELECT asset, reason_code, count(*) AS open FROM quarantine WHERE resolved_at IS NULL
    GROUP BY asset, reason_code ORDER BY asset, reason_code
"""
_OPEN_ROWS: Final = """
    SELECT quarantine_id, asset, reason_code, reason, order_id, import_id, raw_id, quarantined_at FROM quarantine
    WHERE resolved_at IS NULL AND (CAST(:asset AS text) IS NULL OR asset = :asset)
      AND (CAST(:import_id AS uuid) IS NULL OR import_id = :import_id)
    ORDER BY quarantine_id FETCH FIRST :limit ROWS ONLY
"""
_OPEN_COUNT: Final = """
    SELECT count(*) FROM quarantine WHERE resolved_at IS NULL AND (CAST(:asset AS text) IS NULL OR asset = :asset)
      AND (CAST(:import_id AS uuid) IS NULL OR import_id = :import_id)
"""


def read_status(connection: sa.Connection, *, limit: int = 10) -> dict[str, Any]:
    """Everything that `status` shows.

    Args:
        connection: an open transaction.
        limit: how many imports and batches to show, the last ones first.

    Returns:
        `imports`, `batches` and `quarantine` (lists of records), `pending` (asset → ranges and at most so many rows)
        and `tables` (table → rows).
    """
    pending = {row["asset"]: row for row in _records(connection, _PENDING)}
    nothing = {"ranges": 0, "rows": 0}
    counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in TABLES)  # noqa: S608  # constants
    tables = connection.execute(sa.text(f"SELECT {counts}")).mappings().one()
    return {
        "imports": _records(connection, _IMPORTS, limit=limit),
        "pending": {asset: {name: pending.get(asset, nothing)[name] for name in nothing} for asset in STEP_ASSETS},
        "tables": dict(tables),
        "quarantine": _records(connection, _QUARANTINE),
        "batches": _records(connection, _BATCHES, limit=limit),
    }


def open_quarantine(
    connection: sa.Connection, *, asset: str | None, limit: int, import_id: UUID | None = None
) -> tuple[list[dict[str, Any]], int]:
    """The oldest open rows of quarantine (ids, codes and reasons), at most `limit`, and how many there are in all.

    Only those of an asset, and of an import, where these are given.
    """
    wanted = {"asset": asset, "import_id": import_id}
    rows = _records(connection, _OPEN_ROWS, limit=limit, **wanted)
    total: int = connection.execute(sa.text(_OPEN_COUNT), wanted).scalar_one()
    return rows, total


def is_anything_pending(connection: sa.Connection) -> bool:
    """Whether an asset has something to consume."""
    return bool(connection.execute(sa.text("SELECT EXISTS (SELECT FROM etl_work)")).scalar_one())


def _records(connection: sa.Connection, query: str, **parameters: object) -> list[dict[str, Any]]:
    rows = connection.execute(sa.text(query), parameters).mappings()
    return [{str(name): value for name, value in row.items()} for row in rows]

"""Figures of `etl-assets status`, read from the ledger, the queue and quarantine; no customer's data."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from etl_assets.asset_graph import STEP_ASSETS, TABLES_OF
from etl_assets.orders.import_outcomes import quarantined_imports_of_last_days
from etl_assets.quarantine.open_rows import count_open_rows
from etl_assets.reporting.failed_imports import read_failed_imports
from etl_assets.reporting.findings import count_findings_of_last_days
from etl_assets.reporting.held import read_held_imports

DAYS: Final = 7
"""Age of the imports whose findings are counted."""
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
_WAITING: Final = """
    SELECT count(*) AS orders, count(DISTINCT r.import_id) AS imports
    FROM line_versions v JOIN raw_orders r USING (raw_id) WHERE v.is_waiting
"""
_PENDING: Final = """
    SELECT asset, count(*) AS ranges, CAST(sum(high - low + 1) AS bigint) AS rows FROM etl_work GROUP BY asset
"""


def read_status(connection: sa.Connection, *, limit: int = 10) -> dict[str, Any]:
    """Read everything that `status` shows.

    Args:
        connection: an open transaction.
        limit: how many imports and batches to show, the last ones first.

    Returns:
        `imports`, `batches` and `quarantine` (lists of records), `pending` (asset → ranges and at most so many rows),
        `held` (imports that wait for users, with their rows, which are not pending for an asset) and `tables` (table →
        rows); `waiting_lines`, the `orders` whose lines wait for them, and of how many `imports`. `failed_imports`
        that were neither imported later nor dismissed, with the count of all. Of the imports of the last `DAYS` days:
        `findings` by code, and `unreadable_orders` of imports, with the count of all.
    """
    pending = {row["asset"]: row for row in _read_records(connection, _PENDING)}
    nothing = {"ranges": 0, "rows": 0}
    counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in TABLES)  # noqa: S608  # constants
    tables = connection.execute(sa.text(f"SELECT {counts}")).mappings().one()
    failed = read_failed_imports(connection, shown=limit)
    unreadable = quarantined_imports_of_last_days(connection, DAYS)
    held = read_held_imports(connection)
    return {
        "imports": _read_records(connection, _IMPORTS, limit=limit),
        "pending": {asset: {name: pending.get(asset, nothing)[name] for name in nothing} for asset in STEP_ASSETS},
        "tables": dict(tables),
        "quarantine": [
            {"asset": entry["asset"], "reason_code": entry["reason_code"], "open": entry["rows"]}
            for entry in count_open_rows(connection)
        ],
        "batches": _read_records(connection, _BATCHES, limit=limit),
        "held": {
            "imports": len(held),
            "rows": sum(one.rows for one in held),
            "last": [one.as_dict() for one in held[:limit]],
        },
        "days": DAYS,
        "findings": count_findings_of_last_days(connection, DAYS),
        "waiting_lines": _read_records(connection, _WAITING)[0],
        "failed_imports": {"count": failed.total, "last": failed.shown},
        "unreadable_orders": {
            "imports": len(unreadable),
            "orders": sum(one.unreadable for one in unreadable),
            "first": [one.as_dict() for one in unreadable[:limit]],
        },
    }


def is_anything_pending(connection: sa.Connection) -> bool:
    """Return whether any asset has pending rows."""
    return bool(connection.execute(sa.text("SELECT EXISTS (SELECT FROM etl_work)")).scalar_one())


def _read_records(connection: sa.Connection, query: str, **parameters: object) -> list[dict[str, Any]]:
    rows = connection.execute(sa.text(query), parameters).mappings()
    return [{str(name): value for name, value in row.items()} for row in rows]

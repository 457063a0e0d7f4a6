"""Queries about open rows of quarantine, for commands, jobs and reports.

Of a row's texts they return its order id only. Rows are put into quarantine and resolved in `rows`, not here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from etl_assets.quarantine.row_filter import ALL_OPEN_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_assets.database.database import Database
    from etl_assets.quarantine.row_filter import RowFilter

_LIST: Final = """
    SELECT quarantine_id, asset, reason_code, reason, order_id, import_id, raw_id, quarantined_at,
           (SELECT t.source FROM import_tasks t WHERE t.import_id = q.import_id) AS source,
           CAST(row ->> 'row_no' AS integer) AS line
"""
_COUNTS_BY_REASON: Final = """
    SELECT asset, reason_code, count(*) AS rows, min(quarantined_at) AS since FROM quarantine
    WHERE resolved_at IS NULL GROUP BY asset, reason_code ORDER BY asset, reason_code
"""
_OPEN_RAW_IDS: Final = """
    WITH replayed (raw_id) AS (SELECT unnest(CAST(:raw_ids AS bigint[])))
    SELECT r.raw_id FROM replayed r JOIN quarantine q USING (raw_id) WHERE q.resolved_at IS NULL
    UNION
    SELECT r.raw_id FROM replayed r JOIN raw_orders m ON m.replaces_raw_id = r.raw_id
    JOIN quarantine q ON q.raw_id = m.raw_id WHERE q.resolved_at IS NULL
"""


class NotOpen(NamedTuple):
    """Quarantine ids that name no open row."""

    resolved: tuple[int, ...]
    unknown: tuple[int, ...]


def list_open_rows(
    connection: sa.Connection, *, limit: int, chosen: RowFilter = ALL_OPEN_ROWS
) -> tuple[list[dict[str, Any]], int]:
    """Return the oldest open rows (ids, codes, reasons, file and line), at most `limit`, and the number of all.

    Args:
        connection: an open transaction.
        limit: the most rows to return.
        chosen: which open rows.
    """
    source = f"FROM quarantine q WHERE {chosen.condition}"
    first = f"{_LIST} {source} ORDER BY quarantine_id FETCH FIRST %(limit)s ROWS ONLY"
    rows = connection.exec_driver_sql(first, {"limit": limit, **chosen.parameters}).mappings().all()
    total: int = connection.exec_driver_sql(f"SELECT count(*) {source}", chosen.parameters).scalar_one()
    return [dict(row) for row in rows], total


def count_open_rows(connection: sa.Connection) -> list[dict[str, Any]]:
    """Count open rows: `asset`, `reason_code`, `rows`, and since when the oldest is open (`since`)."""
    return [dict(row) for row in connection.execute(sa.text(_COUNTS_BY_REASON)).mappings()]


def open_ids(database: Database, quarantine_ids: Sequence[int]) -> set[int]:
    """Return those of `quarantine_ids` that are open."""
    query = sa.text(
        "SELECT quarantine_id FROM quarantine"
        " WHERE quarantine_id = ANY (CAST(:ids AS bigint[])) AND resolved_at IS NULL"
    )
    with database.transaction() as connection:
        return set(connection.execute(query, {"ids": list(quarantine_ids)}).scalars())


def open_raw_ids(database: Database, raw_ids: Sequence[int]) -> set[int]:
    """Return those of `raw_ids` that have an open row, of their own or of a raw row that corrects them."""
    with database.transaction() as connection:
        return set(connection.execute(sa.text(_OPEN_RAW_IDS), {"raw_ids": list(raw_ids)}).scalars())


def split_not_open(connection: sa.Connection, quarantine_ids: Iterable[int]) -> NotOpen:
    """Split ids that name no open row into resolved and unknown ones, each in order."""
    ids = sorted(set(quarantine_ids))
    query = sa.text("SELECT quarantine_id FROM quarantine WHERE quarantine_id = ANY (CAST(:ids AS bigint[]))")
    known = set(connection.execute(query, {"ids": ids}).scalars())
    return NotOpen(
        resolved=tuple(number for number in ids if number in known),
        unknown=tuple(number for number in ids if number not in known),
    )

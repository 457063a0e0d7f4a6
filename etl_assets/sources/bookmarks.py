"""State of the sources in the store: the position up to which each was read, and the last hash of each of its orders.

Both change in the transaction that lands the rows. The hazard is two pulls from the same position: the second to commit
finds the epoch, a fencing token, raised, and writes nothing (docs/decisions.md, "Source row hashes").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.errors import ConcurrentRunError
from etl_assets.sources.rows import ROW_HASH, ROW_KEY

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from etl_assets.database.database import Database


@dataclass(frozen=True, slots=True)
class Progress:
    """Position up to which a source was read, and the times of that (None: never)."""

    position: dict[str, Any] | None
    epoch: int
    pulled_at: datetime | None
    reconciled_at: datetime | None


def begin(database: Database, source: str) -> Progress:
    """Return the progress of a source, before anything is read from it."""
    with database.transaction() as connection:
        connection.execute(
            sa.text("INSERT INTO source_progress (source, epoch) VALUES (:source, 0) ON CONFLICT DO NOTHING"),
            {"source": source},
        )
        return _progress(connection)[source]


def progress_of_all(database: Database) -> dict[str, Progress]:
    """Return the progress of each source that was ever pulled."""
    with database.transaction() as connection:
        return _progress(connection)


def advance(connection: sa.Connection, source: str, epoch: int, position: dict[str, Any], *, full: bool) -> None:
    """Record that a source was read up to `position`.

    Raises:
        ConcurrentRunError: another pull of it has committed since `epoch` was read.
    """
    updated = connection.execute(
        sa.text(
            "UPDATE source_progress SET position = CAST(:position AS jsonb), epoch = epoch + 1, pulled_at = now(),"
            " reconciled_at = CASE WHEN :full THEN now() ELSE reconciled_at END"
            " WHERE source = :source AND epoch = :epoch"
        ),
        {"source": source, "epoch": epoch, "position": json.dumps(position), "full": full},
    ).rowcount
    if updated != 1:
        msg = f"Source {source}: another pull of it committed while this one read; nothing of this one was written."
        raise ConcurrentRunError(msg)


def record_orders(connection: sa.Connection, source: str, orders: pl.DataFrame, import_id: UUID) -> pl.DataFrame:
    """Record the hashes of orders; return the orders that are new or have changed, or whose import is reverted."""
    _stage(connection, source, orders)
    changed = fetch_frame(
        connection,
        "INSERT INTO source_rows (source, row_key, row_hash, import_id)"  # noqa: S608  # constants, and a hex literal
        f" SELECT source, row_key, row_hash, '{import_id}' FROM staged_rows s WHERE NOT EXISTS ({_KNOWN})"
        " ORDER BY row_key"
        " ON CONFLICT (source, row_key)"
        " DO UPDATE SET row_hash = excluded.row_hash, import_id = excluded.import_id RETURNING row_key",
        {ROW_KEY: pl.String()},
    )
    return orders.join(changed, on=ROW_KEY, how="semi", maintain_order="left")


def has_new_orders(connection: sa.Connection, source: str, orders: pl.DataFrame) -> bool:
    """Test that `record_orders` would return any of the orders."""
    _stage(connection, source, orders)
    found: bool = connection.execute(
        sa.text(
            f"SELECT EXISTS (SELECT FROM staged_rows s WHERE NOT EXISTS ({_KNOWN}))"  # noqa: S608  # constants
        )
    ).scalar_one()
    return found


_KNOWN: Final = """
    SELECT FROM source_rows r WHERE r.source = s.source AND r.row_key = s.row_key AND r.row_hash = s.row_hash
    AND NOT EXISTS (SELECT FROM import_tasks t WHERE t.import_id = r.import_id AND t.status = 'reverted')
"""


def _stage(connection: sa.Connection, source: str, orders: pl.DataFrame) -> None:
    staged = orders.select(pl.lit(source).alias("source"), ROW_KEY, ROW_HASH)
    copy_to_temp_table(connection, "source_rows", staged)


def _progress(connection: sa.Connection) -> dict[str, Progress]:
    rows = connection.execute(
        sa.text("SELECT source, position, epoch, pulled_at, reconciled_at FROM source_progress ORDER BY source")
    )
    return {source: Progress(*rest) for source, *rest in rows}

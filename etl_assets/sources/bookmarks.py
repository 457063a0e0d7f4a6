"""What is remembered of a source: how far it was read, and what each of its orders said last.

Both change in the transaction that lands the rows. Of two pulls that began at the same point the second to commit finds
the epoch raised and writes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.errors import ConcurrentRunError
from etl_assets.sources.rows import ROW_HASH, ROW_KEY

if TYPE_CHECKING:
    from datetime import datetime

    from etl_assets.database.database import Database


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a source was read, and when (None: never)."""

    position: dict[str, Any] | None
    epoch: int
    pulled_at: datetime | None
    reconciled_at: datetime | None


def begin(database: Database, source: str) -> Progress:
    """Read how far a source was read, before anything is read from it."""
    with database.transaction() as connection:
        connection.execute(
            sa.text("INSERT INTO source_progress (source, epoch) VALUES (:source, 0) ON CONFLICT DO NOTHING"),
            {"source": source},
        )
        return _progress(connection)[source]


def progress_of_all(database: Database) -> dict[str, Progress]:
    """How far each source was read that was ever pulled."""
    with database.transaction() as connection:
        return _progress(connection)


def advance(connection: sa.Connection, source: str, epoch: int, position: dict[str, Any], *, full: bool) -> None:
    """Note that a source was read up to `position`.

    Raises:
        ConcurrentRunError: another pull of it has committed since `epoch` was read.
    """
    touched = connection.execute(
        sa.text(
            "UPDATE source_progress SET position = CAST(:position AS jsonb), epoch = epoch + 1, pulled_at = now(),"
            " reconciled_at = CASE WHEN :full THEN now() ELSE reconciled_at END"
            " WHERE source = :source AND epoch = :epoch"
        ),
        {"source": source, "epoch": epoch, "position": json.dumps(position), "full": full},
    ).rowcount
    if touched != 1:
        msg = f"Source {source}: another pull of it committed while this one read; nothing of this one was written."
        raise ConcurrentRunError(msg)


def remember(connection: sa.Connection, source: str, orders: pl.DataFrame) -> pl.DataFrame:
    """Note what orders say; returns those that are new or say something else than before."""
    _stage(connection, source, orders)
    changed = fetch_frame(
        connection,
        "INSERT INTO source_rows (source, row_key, row_hash)"
        " SELECT source, row_key, row_hash FROM staged_rows s WHERE NOT EXISTS (SELECT FROM source_rows r"
        "  WHERE r.source = s.source AND r.row_key = s.row_key AND r.row_hash = s.row_hash)"
        " ORDER BY row_key"
        " ON CONFLICT (source, row_key) DO UPDATE SET row_hash = excluded.row_hash RETURNING row_key",
        {ROW_KEY: pl.String()},
    )
    return orders.join(changed, on=ROW_KEY, how="semi", maintain_order="left")


def is_anything_new(connection: sa.Connection, source: str, orders: pl.DataFrame) -> bool:
    """Whether `remember` would return any of the orders."""
    _stage(connection, source, orders)
    found: bool = connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT FROM staged_rows s WHERE NOT EXISTS (SELECT FROM source_rows r"
            " WHERE r.source = s.source AND r.row_key = s.row_key AND r.row_hash = s.row_hash))"
        )
    ).scalar_one()
    return found


def _stage(connection: sa.Connection, source: str, orders: pl.DataFrame) -> None:
    staged = orders.select(pl.lit(source).alias("source"), ROW_KEY, ROW_HASH)
    copy_to_temp_table(connection, "source_rows", staged)


def _progress(connection: sa.Connection) -> dict[str, Progress]:
    rows = connection.execute(
        sa.text("SELECT source, position, epoch, pulled_at, reconciled_at FROM source_progress ORDER BY source")
    )
    return {source: Progress(*rest) for source, *rest in rows}

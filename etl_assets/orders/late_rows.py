"""Raw rows that are processed after later ones, because their batch failed or their import was still being read.

The rule is that the newest version wins, by (time in the source, raw id), and that a good row resolves earlier bad
ones. So an order has to remember the latest raw row that was processed for it, also one that changed nothing; it does
so only while older rows are pending, because a rerun with nothing new must change no row (docs/decisions.md,
"Unchanged orders" and "Late rows").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import copy_to_temp_table, update_rows
from etl_assets.orders.transform import ORDER_KEY

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Batch

REPEATED: Final = (pl.col("change") == "unchanged") & (pl.col("raw_id") > pl.col("stored_raw_id"))
"""Orders (as `compare_with_stored` returns them) that a later raw row repeats as they are."""


class Surroundings(NamedTuple):
    """Rows besides those of a batch that its writes depend on."""

    older_pending: bool
    """Raw rows older than some of the batch's have yet to be processed."""
    lines_waiting: bool
    """Lines of a file of lines wait for their order (`orders.load_lines`)."""


def look_around(batch: Batch) -> Surroundings:
    """Look for older rows that are pending, and for lines that wait, in one statement."""
    if not batch.ranges:
        return Surroundings(older_pending=False, lines_waiting=False)
    found = batch.connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT FROM etl_work WHERE asset IN ('shop', 'orders') AND low < :high)"
            " OR EXISTS (SELECT FROM import_tasks WHERE status = 'pending'),"
            " EXISTS (SELECT FROM line_versions WHERE is_waiting)"
        ),
        {"high": max(r.high for r in batch.ranges)},
    ).one()
    return Surroundings(*found)


def store_repeated(batch: Batch, decided: pl.DataFrame) -> None:
    """Store the raw id of orders that a later row repeats: an older row, processed after it, must not win.

    They belong to this batch from then on, and have to be enqueued like changed orders: pending ranges of the batch
    before no longer find them.
    """
    repeated = decided.filter(REPEATED).select(*ORDER_KEY, "raw_id", batch_id=pl.lit(batch.batch_id, pl.Int64))
    update_rows(batch.connection, "orders", repeated, key=ORDER_KEY, batch_id=batch.batch_id)


def store_latest_raw_id(connection: sa.Connection, losers: pl.DataFrame) -> None:
    """Store the raw id of good rows that are later than the stored version and lost to it (`ORDER_KEY`, `raw_id`).

    Bad rows before them may yet be read, and are then resolved at once.
    """
    if losers.is_empty():
        return
    copy_to_temp_table(connection, "orders", losers, name="latest_rows")
    connection.execute(
        sa.text(
            "UPDATE orders o SET latest_raw_id = l.raw_id FROM latest_rows l WHERE o.shop_id = l.shop_id"
            " AND o.order_id = l.order_id AND l.raw_id > greatest(o.raw_id, o.latest_raw_id)"
        )
    )

"""Rows that can't be loaded: kept with the reason, out of the way of the good ones, until they are corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.values.text import fits_an_index

if TYPE_CHECKING:
    from etl_assets.events.subjects import AssetName

ReasonCode = Literal[
    "MISSING_SHOP", "MISSING_ORDER_ID", "BAD_AMOUNT", "BAD_TIMESTAMP", "BAD_TEXT", "BAD_ITEMS", "BAD_PROCESSES",
    "DB_REJECTED",
]  # fmt: skip

REJECTED_SCHEMA: Final = {
    "raw_id": pl.Int64(),
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "reason_code": pl.String(),
    "reason": pl.String(),
}
"""The shape of every frame of rejected rows; `shop_id` and `order_id` are null where they can't be read."""


def quarantine_rows(connection: sa.Connection, asset: AssetName, rejected: pl.DataFrame) -> int:
    """Put rejected rows into quarantine, each raw row and reason once however often it is run.

    Args:
        connection: the batch's transaction.
        asset: the asset that rejected them.
        rejected: rows of `REJECTED_SCHEMA`; the first of those with the same raw row and reason code is kept.

    Returns:
        How many rows were rejected, new in quarantine or known.
    """
    if rejected.is_empty():
        return 0
    # An order id that no index can hold is no order's, and nothing could ever be found by it.
    kept = (
        rejected.select(*REJECTED_SCHEMA)
        .unique(["raw_id", "reason_code"], keep="first", maintain_order=True)
        .with_columns(pl.when(fits_an_index(pl.col("order_id"))).then("order_id").alias("order_id"))
    )
    copy_to_temp_table(connection, "quarantine", kept, name="rejected_rows")
    connection.execute(
        sa.text(
            """
            INSERT INTO quarantine AS q (asset, import_id, raw_id, shop_id, order_id, reason_code, reason, row)
            SELECT :asset, r.import_id, s.raw_id, s.shop_id, s.order_id, s.reason_code, s.reason, to_jsonb(r)
            FROM rejected_rows s JOIN raw_orders r ON r.raw_id = s.raw_id
            ORDER BY s.raw_id
            ON CONFLICT (asset, raw_id, reason_code) DO UPDATE SET resolved_at = NULL, resolution = NULL
            WHERE q.resolution = 'replayed'
              AND NOT EXISTS (SELECT FROM raw_orders m WHERE m.replaces_raw_id = q.raw_id)
            """
        ),
        {"asset": asset},
    )
    return rejected.height


def resolve_rows(
    connection: sa.Connection, asset: AssetName, current: pl.DataFrame, *, moved: pl.Series | None = None
) -> None:
    """Resolve the open quarantine that newer rows have overtaken.

    A row that is good now, or was replaced by a corrected one that is, resolves as `replayed`; an earlier row of the
    same order as `superseded`.

    Hazard: rows are processed out of order (replays, late imports, batches that failed), so "newer" means a later
    raw_id and never the time of processing, and a row that an asset has only passed over is not good
    (docs/decisions.md, "Quarantine resolution" and "Late rows"). Mostly nothing or little is open: then only rows that
    may resolve some of it are looked up.

    Args:
        connection: the batch's transaction.
        asset: the asset whose quarantine it is.
        current: `shop_id`, `order_id`, `raw_id` (the latest row of each order), `is_good`.
        moved: where it matters which customer an order has left, the raw rows for which that was seen to. Others that
            have moved an order are not good yet: what is wrong may be the customer that it left.
    """
    if current.is_empty():
        return
    keys = current.select("shop_id", "order_id", "raw_id", is_good="is_good")
    waiting = fetch_frame(connection, _open_rows(asset, keys.height + 1), _OPEN_SCHEMA)
    if waiting.height <= keys.height:
        keys = _concerned(keys, waiting)
    if keys.is_empty():
        return
    if moved is not None:
        others = fetch_frame(connection, _OPEN_MOVES, {"raw_id": pl.Int64()}).filter(
            ~pl.col("raw_id").is_in(moved.implode())
        )
        keys = keys.with_columns(is_good=pl.col("is_good") & ~pl.col("raw_id").is_in(others["raw_id"].implode()))
    copy_to_temp_table(connection, "orders", keys, name="current_rows")
    connection.execute(
        sa.text(
            """
            WITH overtaken AS (
                SELECT q.quarantine_id, 'superseded' AS resolution
                FROM current_rows c JOIN quarantine q USING (shop_id, order_id)
                WHERE q.asset = :asset AND q.resolved_at IS NULL AND q.raw_id < c.raw_id
                UNION ALL
                SELECT q.quarantine_id, 'replayed'
                FROM current_rows c JOIN raw_orders r USING (raw_id)
                JOIN quarantine q ON q.raw_id IN (r.raw_id, r.replaces_raw_id)
                WHERE q.asset = :asset AND q.resolved_at IS NULL AND c.is_good
            )
            UPDATE quarantine q SET resolved_at = now(), resolution = o.resolution
            FROM (SELECT quarantine_id, min(resolution) AS resolution FROM overtaken GROUP BY quarantine_id) o
            WHERE q.quarantine_id = o.quarantine_id
            """
        ),
        {"asset": asset},
    )


_OPEN_MOVES: Final = (
    "SELECT DISTINCT m.raw_id FROM order_moves m JOIN quarantine q USING (raw_id)"
    " WHERE q.asset = 'customers' AND q.resolved_at IS NULL"
)
_OPEN_SCHEMA: Final = {"shop_id": pl.Int32(), "order_id": pl.String(), "raw_id": pl.Int64(), "corrected_by": pl.Int64()}


def _open_rows(asset: AssetName, at_most: int) -> str:
    """Reads the open quarantine of an asset, with the raw rows that correct it."""
    return (
        "SELECT q.shop_id, q.order_id, q.raw_id, m.raw_id FROM quarantine q"  # noqa: S608  # a constant and an integer
        " LEFT JOIN raw_orders m ON m.replaces_raw_id = q.raw_id"
        f" WHERE q.asset = '{asset}' AND q.resolved_at IS NULL FETCH FIRST {at_most:d} ROWS ONLY"
    )


def _concerned(keys: pl.DataFrame, waiting: pl.DataFrame) -> pl.DataFrame:
    """The rows that may resolve some of those waiting: mostly few, and only they are looked up."""
    raw_ids = pl.concat([waiting["raw_id"], waiting["corrected_by"]]).drop_nulls().alias("raw_id").to_frame()
    same_row = keys.join(raw_ids, on="raw_id", how="semi")
    same_order = keys.join(waiting, on=("shop_id", "order_id"), how="semi")
    return pl.concat([same_row, same_order]).unique()

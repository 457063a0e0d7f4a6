"""Reads and writes of the lines part of orders: `line_versions`, and the pointer `orders.lines_raw_id`.

The rules are in `orders.line_versions`. Hazard: an order whose lines change belongs to another batch from then on, so
that ranges of its former batch no longer find it; assets downstream that have yet to process it get it anew, as with
any changed order (`orders.skip_consumers`). Why two places: docs/decisions.md, "Lines from another file".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import copy_to_temp_table, fetch_frame, update_rows
from etl_assets.ledger.batches import BatchCounts
from etl_assets.ledger.narrow_ranges import narrow_ranges
from etl_assets.orders.line_versions import (
    STORED_LINES_SCHEMA,
    LineRows,
    compare_line_versions,
    newest_line_versions,
    same_lines,
)
from etl_assets.orders.removals import removal_candidates
from etl_assets.orders.skip_consumers import downstream_overrides
from etl_assets.orders.transform import LOSSES, ORDER_KEY
from etl_assets.orders.write_newest import resolve_orders
from etl_assets.pipeline.protocol import LoadResult
from etl_assets.quarantine.rows import quarantine_rows, resolve_anew

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Batch

_ORDER_SCHEMA: Final = {
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "raw_id": pl.Int64(),
    "customer_global_id": pl.String(),
    "is_cancelled": pl.Boolean(),
    "lines_raw_id": pl.Int64(),
    "is_same_text": pl.Boolean(),
    "batch_id": pl.Int64(),
    "stored_batch_id": pl.Int64(),
}


def load_lines(batch: Batch, found: LineRows) -> tuple[LoadResult, pl.DataFrame]:
    """Store the newest lines of each order, and point the orders that are there to them.

    To be called after the order parts of the same batch are written. A row counts under the change of its order;
    lines of an order that is not there wait, and count as unchanged. Returned are also the orders that may have lost
    lines: those that had other ones of a file, as what the row of the order says of its items is a title.
    """
    connection = batch.connection
    newest = newest_line_versions(found.versions)
    decided = compare_line_versions(newest, read_line_versions_of(connection, newest))
    _store(connection, decided.filter("differs"))
    current = decided.filter("is_current")
    changed = _orders_with_other_lines(connection, current)
    pointers = changed.select(*ORDER_KEY, "lines_raw_id", batch_id=pl.lit(batch.batch_id, pl.Int64))
    update_rows(connection, "orders", pointers, key=ORDER_KEY, set_now="updated_at", batch_id=batch.batch_id)
    quarantine_rows(connection, "orders", found.rejected)
    latest = newest.select(*ORDER_KEY, raw_id="latest_raw_id")
    resolve_orders(connection, latest, found.rejected, of_lines=True)
    counts = BatchCounts(
        updated=changed.height,
        unchanged=current.height - changed.height,
        superseded=found.versions.height - current.height,
        quarantined=found.rejected.height,
    )
    ranges = narrow_ranges(batch.batch_id, changed["raw_id"])
    overrides = downstream_overrides(batch, changed) | {"order_items": ranges}
    result = LoadResult(counts, ranges, downstream_overrides=overrides, ranges_to_check=ranges)
    return result, removal_candidates(changed.filter("had_lines"), of_lines=True)


def point_to_waiting_lines(connection: sa.Connection, inserted: pl.DataFrame) -> pl.DataFrame:
    """Return new orders with `lines_raw_id`: their lines, if any have waited, do so no longer."""
    copy_to_temp_table(connection, "orders", inserted.select(ORDER_KEY), name="new_orders")
    schema = {"shop_id": pl.Int32(), "order_id": pl.String(), "lines_raw_id": pl.Int64()}
    waited = fetch_frame(connection, _END_WAITING, schema)
    return inserted.join(waited, on=ORDER_KEY, how="left", maintain_order="left")


def redecide_lines(
    connection: sa.Connection, orders: pl.DataFrame, own: pl.DataFrame, found: LineRows, newest: pl.DataFrame
) -> BatchCounts:
    """Replace the lines of orders that are decided anew; the orders are written, and point to them.

    Args:
        connection: the batch's transaction.
        orders: `ORDER_KEY` of all of them.
        own: `raw_id` of the pending rows that count.
        found: all rows of lines of these orders.
        newest: of those the newest of each order (`STORED_LINES_SCHEMA`).

    Returns:
        The counts of the pending rows of lines: orders count under their own change.
    """
    if orders.height:
        copy_to_temp_table(connection, "orders", orders.select(ORDER_KEY), name="redecided_lines")
        connection.execute(sa.text(_DELETE))
    _store(connection, newest)
    quarantine_rows(connection, "orders", found.rejected)
    latest = newest.select(*ORDER_KEY, raw_id="latest_raw_id")
    resolve_anew(connection, found.rejected, latest)
    resolve_orders(connection, latest, found.rejected, of_lines=True)
    pending = found.versions.join(own, on="raw_id", how="semi")
    overtaken = pending.join(newest, on="raw_id", how="anti").height
    bad = found.rejected.join(own, on="raw_id", how="semi")["raw_id"].n_unique()
    return BatchCounts(unchanged=pending.height - overtaken, superseded=overtaken, quarantined=bad)


def are_of_lines(connection: sa.Connection, rejected: pl.DataFrame) -> bool:
    """Test that rejected rows, all of one import, are rows of a file of lines."""
    found = connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT FROM raw_orders JOIN import_tasks USING (import_id)"
            " WHERE raw_id = ANY (:raw_ids) AND mapping ->> 'holds' = 'lines')"
        ),
        {"raw_ids": rejected["raw_id"].to_list()},
    )
    return bool(found.scalar_one())


def read_line_versions_of(connection: sa.Connection, newest: pl.DataFrame) -> pl.DataFrame:
    """Read the stored lines of orders (`STORED_LINES_SCHEMA`)."""
    if newest.is_empty():
        return pl.DataFrame(schema=STORED_LINES_SCHEMA)
    copy_to_temp_table(connection, "orders", newest.select(ORDER_KEY), name="orders_of_lines")
    return fetch_frame(connection, _STORED, STORED_LINES_SCHEMA)


def _store(connection: sa.Connection, versions: pl.DataFrame) -> None:
    """Store the lines of orders (`STORED_LINES_SCHEMA`), new ones with `is_waiting`."""
    if versions.is_empty():
        return
    rows = versions.select(*STORED_LINES_SCHEMA).sort(ORDER_KEY)
    copy_to_temp_table(connection, "line_versions", rows, name="new_line_versions", joined_by=ORDER_KEY)
    connection.execute(sa.text(_STORE))


def _orders_with_other_lines(connection: sa.Connection, current: pl.DataFrame) -> pl.DataFrame:
    """Return the stored orders that have no lines of a file yet, or other ones than these, as changed orders.

    Lines differ if their texts do, or if they are the same and read by another mapping.
    """
    if current.is_empty():
        return _as_changed(pl.DataFrame(schema=_ORDER_SCHEMA))
    copy_to_temp_table(connection, "orders", current.select(*ORDER_KEY, "raw_id"), name="current_lines")
    orders = fetch_frame(connection, _ORDERS, _ORDER_SCHEMA)
    imports = pl.concat([orders["batch_id"], orders["stored_batch_id"]]).drop_nulls().unique()
    mappings = fetch_frame(
        connection,
        "SELECT batch_id, md5(CAST(mapping AS text)) FROM import_tasks WHERE batch_id = ANY (%(batches)s)",
        {"batch_id": pl.Int64(), "mapping": pl.String()},
        {"batches": imports.to_list()},
    )
    both = orders.join(mappings, on="batch_id", how="left", maintain_order="left").join(
        mappings, left_on="stored_batch_id", right_on="batch_id", how="left", suffix="_stored", maintain_order="left"
    )
    return _as_changed(both.filter(~same_lines()))


def _as_changed(orders: pl.DataFrame) -> pl.DataFrame:
    """Return orders whose lines alone have changed, as `compare_with_stored` describes changed orders."""
    columns = (*ORDER_KEY, "raw_id", "customer_global_id", "is_cancelled", "lines_raw_id")
    return orders.select(
        *columns,
        stored_raw_id="raw_id",
        change=pl.lit("updated"),
        had_lines=pl.col("stored_batch_id").is_not_null(),
        lines_differ=pl.lit(value=True),
        customer_differs=pl.lit(value=False),
        **dict.fromkeys(LOSSES, pl.lit(value=False)),
    )


_DELETE: Final = """
    DELETE FROM line_versions v USING redecided_lines d WHERE v.shop_id = d.shop_id AND v.order_id = d.order_id
"""
_STORED: Final = (
    f"SELECT v.* FROM orders_of_lines k CROSS JOIN LATERAL (SELECT {', '.join(STORED_LINES_SCHEMA)}"  # noqa: S608  # constants
    " FROM line_versions WHERE shop_id = k.shop_id AND order_id = k.order_id LIMIT 1) v"
)
"""With the limit each key is looked up, whatever the planner estimates."""
_STORE: Final = """
    INSERT INTO line_versions AS v (shop_id, order_id, raw_id, source_updated_at, latest_raw_id, is_waiting)
    SELECT n.shop_id, n.order_id, n.raw_id, n.source_updated_at, n.latest_raw_id, NOT EXISTS (
        SELECT FROM orders o WHERE o.shop_id = n.shop_id AND o.order_id = n.order_id
    ) FROM new_line_versions n
    ON CONFLICT (shop_id, order_id) DO UPDATE SET raw_id = excluded.raw_id,
        source_updated_at = excluded.source_updated_at, latest_raw_id = excluded.latest_raw_id
"""
_ORDERS: Final = """
    SELECT o.shop_id, o.order_id, o.raw_id, o.customer_global_id, o.is_cancelled, k.raw_id,
           (old.items, old.processes) IS NOT DISTINCT FROM (new.items, new.processes), n.batch_id, p.batch_id
    FROM current_lines k CROSS JOIN LATERAL (
        SELECT * FROM orders WHERE shop_id = k.shop_id AND order_id = k.order_id LIMIT 1
    ) o
    JOIN raw_orders new ON new.raw_id = k.raw_id JOIN import_tasks n ON n.import_id = new.import_id
    LEFT JOIN raw_orders old ON old.raw_id = o.lines_raw_id
    LEFT JOIN import_tasks p ON p.import_id = old.import_id
"""
_END_WAITING: Final = """
    UPDATE line_versions v SET is_waiting = false FROM new_orders n
    WHERE v.shop_id = n.shop_id AND v.order_id = n.order_id RETURNING v.shop_id, v.order_id, v.raw_id
"""

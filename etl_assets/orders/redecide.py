"""Orders of which a version was reverted or restored: decided anew from all their versions, as in a first load.

So the tables are as if a reverted import had never been, whatever was loaded in which order. An order of which no
version is left is deleted; its lines, attachment and customer follow downstream, from `deleted_orders` and
`order_moves` (docs/decisions.md, "Reverted imports"). The rows are read in `orders.other_versions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import copy_rows, copy_to_temp_table, delete_rows, fetch_frame, update_rows
from etl_assets.ledger.narrow_ranges import narrow_ranges
from etl_assets.orders.late_rows import look_around
from etl_assets.orders.line_versions import LineRows, newest_line_versions
from etl_assets.orders.load_lines import redecide_lines
from etl_assets.orders.other_versions import OTHER, OWN, REPLACED, ROLE
from etl_assets.orders.transform import ORDER_KEY, ORDER_SCHEMA, compare_anew, newest_versions
from etl_assets.orders.write_newest import StoredOrders, record_order_types, resolve_orders, write_newest
from etl_assets.pipeline.diff import count_changes
from etl_assets.pipeline.protocol import LoadResult
from etl_assets.quarantine.rows import quarantine_rows, reopen_reverted, resolve_anew, resolve_lines_of_deleted
from etl_assets.values.order_keys import order_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_assets.pipeline.protocol import Batch

_DECIDED: Final = (*ORDER_SCHEMA, "lines_raw_id")
_STORED_SCHEMA: Final = {**ORDER_SCHEMA, "lines_raw_id": pl.Int64(), "order_no": pl.Int64()}


class ReadRows(NamedTuple):
    """Raw rows, read as versions of orders and of their lines."""

    versions: pl.DataFrame
    """The good rows of orders (`ORDER_SCHEMA`)."""
    rejected: pl.DataFrame
    """The bad ones (`REJECTED_SCHEMA`)."""
    lines: LineRows
    """Rows of files of lines, good and bad."""


class Redecision(NamedTuple):
    """Rows from which orders are decided anew."""

    orders: pl.DataFrame
    """`ORDER_KEY` of the orders."""
    own: pl.DataFrame
    """`raw_id` of the pending rows that count."""
    versions: pl.DataFrame
    """All good rows of the orders (`ORDER_SCHEMA`)."""
    rejected: pl.DataFrame
    """Their bad rows, and those of no order that are pending or were corrected (`REJECTED_SCHEMA`)."""
    lines: LineRows
    """The same of files of lines."""

    def with_rejected(self, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Redecision:
        """Return it with all rejected rows changed."""
        lines = self.lines._replace(rejected=change(self.lines.rejected))
        return self._replace(rejected=change(self.rejected), lines=lines)


def plan_redecision(rows: pl.DataFrame, read: ReadRows, shops: pl.DataFrame) -> Redecision:
    """Leave out the rows that turn out to be of other orders.

    Args:
        rows: as `read_redecided` returns them.
        read: what those of them say that count.
        shops: `SHOP_SCHEMA`.
    """
    is_other = pl.col(ROLE) == OTHER
    keys = order_keys(rows.filter(~is_other), shops).select(ORDER_KEY).drop_nulls().unique()
    named = rows.filter(pl.col(ROLE).is_in([OWN, REPLACED])).select("raw_id")

    def of_orders(rejected: pl.DataFrame) -> pl.DataFrame:
        is_of_order = rejected.join(keys, on=ORDER_KEY, how="semi")
        of_none = rejected.join(is_of_order, on="raw_id", how="anti").join(named, on="raw_id", how="semi")
        return pl.concat([is_of_order, of_none]).sort("raw_id")

    return Redecision(
        keys,
        rows.filter(pl.col(ROLE) == OWN).select("raw_id"),
        read.versions.join(keys, on=ORDER_KEY, how="semi"),
        of_orders(read.rejected),
        LineRows(read.lines.versions.join(keys, on=ORDER_KEY, how="semi"), of_orders(read.lines.rejected)),
    )


def redecide_orders(batch: Batch, found: Redecision) -> LoadResult:
    """Write the newest version of each order, delete the orders without one, and decide their bad rows anew.

    An order counts under its change, whichever row it comes from then; so does each pending row that is not the newest
    (superseded) or bad (quarantined).
    """
    connection = batch.connection
    stored = _read_stored(connection, found.orders)
    nothing = pl.DataFrame(schema=ORDER_SCHEMA)
    lines = newest_line_versions(found.lines.versions)
    pointers = lines.select(*ORDER_KEY, lines_raw_id="raw_id")
    written, refused = write_newest(
        connection,
        found.versions,
        newest_versions(found.versions),
        StoredOrders(
            lambda _: nothing,
            lambda newest, _: compare_anew(
                newest.join(pointers, on=ORDER_KEY, how="left", maintain_order="left"), stored.select(_DECIDED)
            ),
        ),
        lambda part: _write(batch, part),
    )
    deleted = stored.join(written, on=ORDER_KEY, how="anti")
    _delete(batch, deleted)
    record_order_types(connection, written)
    good = found.versions.join(refused, on="raw_id", how="anti")
    latest = good.group_by(ORDER_KEY).agg(pl.col("raw_id").max())
    _store_latest_raw_ids(batch, latest)
    rejected = pl.concat([found.rejected, refused])
    is_changed = (pl.col("change") != "unchanged").alias("is_changed")
    of_lines = written.select(is_changed, raw_id="lines_raw_id").drop_nulls("raw_id")
    reopen_reverted(connection, pl.concat([written.select(is_changed, "raw_id"), of_lines]))
    quarantine_rows(connection, "orders", rejected)
    resolve_anew(connection, rejected, latest)
    resolve_orders(connection, latest, rejected)
    counts = count_changes(
        written,
        superseded=good.join(found.own, on="raw_id", how="semi").join(written, on="raw_id", how="anti").height,
        quarantined=rejected.join(found.own, on="raw_id", how="semi")["raw_id"].n_unique(),
        deleted=deleted.height,
    ) + redecide_lines(connection, found.orders, found.own, found.lines, lines)
    changed = written.filter(pl.col("change") != "unchanged")["raw_id"]
    ranges = narrow_ranges(batch.batch_id, pl.concat([changed, deleted["raw_id"]]))
    return LoadResult(counts, ranges, ranges_to_check=ranges)


def _read_stored(connection: sa.Connection, orders: pl.DataFrame) -> pl.DataFrame:
    """Read those of the orders that are stored (`_STORED_SCHEMA`)."""
    if orders.is_empty():
        return pl.DataFrame(schema=_STORED_SCHEMA)
    copy_to_temp_table(connection, "orders", orders, name="redecided_orders")
    query = f"SELECT {', '.join(_STORED_SCHEMA)} FROM redecided_orders JOIN orders USING (shop_id, order_id)"  # noqa: S608  # constants
    return fetch_frame(connection, query, _STORED_SCHEMA)


def _write(batch: Batch, decided: pl.DataFrame) -> None:
    """Write inserted and updated orders, and the customers that these leave."""
    numbered = decided.with_columns(batch_id=pl.lit(batch.batch_id, pl.Int64))
    columns = [*_DECIDED, "batch_id"]
    inserted = numbered.filter(pl.col("change") == "inserted")
    inserted = inserted.select(*columns, order_no="raw_id", created_batch_id="batch_id")
    copy_rows(batch.connection, "orders", inserted.sort("raw_id"))
    updated = numbered.filter(pl.col("change") == "updated")
    values = updated.select(columns)
    update_rows(batch.connection, "orders", values, key=ORDER_KEY, set_now="updated_at", batch_id=batch.batch_id)
    _note_moves(batch, updated.filter(pl.col("stored_customer").ne_missing(pl.col("customer_global_id"))))


def _note_moves(batch: Batch, left: pl.DataFrame) -> None:
    """Note the customers that orders leave: `raw_id` (the row that names the order downstream), `stored_customer`."""
    moves = left.drop_nulls("stored_customer").sort("raw_id")
    columns = {"raw_id": pl.col("raw_id"), "customer_global_id": pl.col("stored_customer")}
    copy_rows(batch.connection, "order_moves", moves.select(batch_id=pl.lit(batch.batch_id, pl.Int64), **columns))


def _delete(batch: Batch, orders: pl.DataFrame) -> None:
    """Delete orders, and note which: lines, attachments and customers follow downstream."""
    delete_rows(batch.connection, "orders", orders.select(ORDER_KEY), batch_id=batch.batch_id)
    columns = ("raw_id", "order_no", *ORDER_KEY)
    notes = orders.sort("raw_id").select(*columns, batch_id=pl.lit(batch.batch_id, pl.Int64))
    copy_rows(batch.connection, "deleted_orders", notes)
    resolve_lines_of_deleted(batch.connection, orders.filter(pl.col("lines_raw_id").is_not_null()).select(ORDER_KEY))
    _note_moves(batch, orders.rename({"customer_global_id": "stored_customer"}))


def _store_latest_raw_ids(batch: Batch, latest: pl.DataFrame) -> None:
    """Store the latest good row of each order where it is not the one that counts, and forget one that is gone.

    Hazard: a rerun must change no row, so an unchanged order remembers a later row only where it would otherwise, too:
    while older ones are pending (docs/decisions.md, "Late rows").
    """
    if latest.is_empty():
        return
    copy_to_temp_table(batch.connection, "orders", latest, name="latest_rows")
    batch.connection.execute(
        sa.text(
            "UPDATE orders o SET latest_raw_id = nullif(l.raw_id, o.raw_id) FROM latest_rows l"
            " WHERE o.shop_id = l.shop_id AND o.order_id = l.order_id"
            " AND greatest(o.raw_id, o.latest_raw_id) <> l.raw_id"
            " AND (o.latest_raw_id > l.raw_id OR o.batch_id = :batch_id OR :older_pending)"
        ),
        {"batch_id": batch.batch_id, "older_pending": look_around(batch).older_pending},
    )

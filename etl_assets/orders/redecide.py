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
from etl_assets.ledger.queue import RawIdRange
from etl_assets.orders.other_versions import OTHER, OWN, REPLACED, ROLE
from etl_assets.orders.transform import ORDER_KEY, ORDER_SCHEMA, compare_anew, newest_versions
from etl_assets.orders.write_newest import StoredOrders, record_order_types, resolve_orders, write_newest
from etl_assets.pipeline.diff import count_changes
from etl_assets.pipeline.protocol import LoadResult
from etl_assets.quarantine.rows import quarantine_rows, reopen_reverted, resolve_anew
from etl_assets.values.order_keys import order_keys

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Batch

MAX_RANGES: Final = 1_000
"""Other versions lie anywhere in `raw_orders`: so many ranges leave out the widest gaps between them."""
_STORED_SCHEMA: Final = {**ORDER_SCHEMA, "order_no": pl.Int64()}


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


def plan_redecision(
    rows: pl.DataFrame, versions: pl.DataFrame, rejected: pl.DataFrame, shops: pl.DataFrame
) -> Redecision:
    """Leave out the rows that turn out to be of other orders.

    Args:
        rows: as `read_redecided` returns them.
        versions: those of them that are good (`ORDER_SCHEMA`).
        rejected: those that are bad (`REJECTED_SCHEMA`).
        shops: `SHOP_SCHEMA`.
    """
    is_other = pl.col(ROLE) == OTHER
    keys = order_keys(rows.filter(~is_other), shops).select(ORDER_KEY).drop_nulls().unique()
    named = rows.filter(pl.col(ROLE).is_in([OWN, REPLACED])).select("raw_id")
    is_of_order = rejected.join(keys, on=ORDER_KEY, how="semi")
    of_none = rejected.join(is_of_order, on="raw_id", how="anti").join(named, on="raw_id", how="semi")
    return Redecision(
        keys,
        rows.filter(pl.col(ROLE) == OWN).select("raw_id"),
        versions.join(keys, on=ORDER_KEY, how="semi"),
        pl.concat([is_of_order, of_none]).sort("raw_id"),
    )


def redecide_orders(batch: Batch, found: Redecision) -> LoadResult:
    """Write the newest version of each order, delete the orders without one, and decide their bad rows anew.

    An order counts under its change, whichever row it comes from then; so does each pending row that is not the newest
    (superseded) or bad (quarantined).
    """
    connection = batch.connection
    stored = _read_stored(connection, found.orders)
    nothing = pl.DataFrame(schema=ORDER_SCHEMA)
    written, refused = write_newest(
        connection,
        found.versions,
        newest_versions(found.versions),
        StoredOrders(lambda _: nothing, lambda newest, _: compare_anew(newest, stored.select(*ORDER_SCHEMA))),
        lambda part: _write(batch, part),
    )
    deleted = stored.join(written, on=ORDER_KEY, how="anti")
    _delete(batch, deleted)
    record_order_types(connection, written)
    good = found.versions.join(refused, on="raw_id", how="anti")
    latest = good.group_by(ORDER_KEY).agg(pl.col("raw_id").max())
    _store_latest_raw_ids(connection, latest)
    rejected = pl.concat([found.rejected, refused])
    reopen_reverted(connection, written.select("raw_id", is_changed=pl.col("change") != "unchanged"))
    quarantine_rows(connection, "orders", rejected)
    resolve_anew(connection, rejected)
    resolve_orders(connection, latest, rejected)
    counts = count_changes(
        written,
        superseded=good.join(found.own, on="raw_id", how="semi").join(written, on="raw_id", how="anti").height,
        quarantined=rejected.join(found.own, on="raw_id", how="semi")["raw_id"].n_unique(),
        deleted=deleted.height,
    )
    changed = written.filter(pl.col("change") != "unchanged")["raw_id"]
    ranges = narrow_ranges(batch.batch_id, pl.concat([changed, deleted["raw_id"]]))
    return LoadResult(counts, ranges, ranges_to_check=ranges)


def narrow_ranges(batch_id: int, raw_ids: pl.Series, at_most: int = MAX_RANGES) -> list[RawIdRange]:
    """Return at most so many ranges that hold all these rows of a batch, without the widest gaps between them."""
    ids = raw_ids.unique().sort()
    if ids.is_empty():
        return []
    gaps = ids.diff().fill_null(1)
    widest = gaps.top_k(min(at_most, gaps.len()))
    smallest = int(widest.min())  # type: ignore[arg-type]  # of integers
    is_apart = gaps > smallest if gaps.len() > at_most else gaps > 1
    parts = pl.DataFrame({"raw_id": ids, "part": is_apart.cum_sum()}).group_by("part", maintain_order=True)
    bounds = parts.agg(low=pl.col("raw_id").first(), high=pl.col("raw_id").last())
    return [RawIdRange(batch_id, low, high) for low, high in bounds["low", "high"].iter_rows()]


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
    columns = [*ORDER_SCHEMA, "batch_id"]
    inserted = numbered.filter(pl.col("change") == "inserted").select(*columns, order_no="raw_id")
    copy_rows(batch.connection, "orders", inserted.sort("raw_id"))
    updated = numbered.filter(pl.col("change") == "updated")
    update_rows(batch.connection, "orders", updated.select(columns), key=ORDER_KEY, set_now="updated_at")
    _note_moves(batch, updated.filter(pl.col("stored_customer").ne_missing(pl.col("customer_global_id"))))


def _note_moves(batch: Batch, left: pl.DataFrame) -> None:
    """Note the customers that orders leave: `raw_id` (the row that names the order downstream), `stored_customer`."""
    moves = left.drop_nulls("stored_customer").sort("raw_id")
    columns = {"raw_id": pl.col("raw_id"), "customer_global_id": pl.col("stored_customer")}
    copy_rows(batch.connection, "order_moves", moves.select(batch_id=pl.lit(batch.batch_id, pl.Int64), **columns))


def _delete(batch: Batch, orders: pl.DataFrame) -> None:
    """Delete orders, and note which: lines, attachments and customers follow downstream."""
    delete_rows(batch.connection, "orders", orders.select(ORDER_KEY))
    columns = ("raw_id", "order_no", *ORDER_KEY)
    notes = orders.sort("raw_id").select(*columns, batch_id=pl.lit(batch.batch_id, pl.Int64))
    copy_rows(batch.connection, "deleted_orders", notes)
    _note_moves(batch, orders.rename({"customer_global_id": "stored_customer"}))


def _store_latest_raw_ids(connection: sa.Connection, latest: pl.DataFrame) -> None:
    """Store the latest good row of each order where it is not the one that counts, and forget any later one."""
    if latest.is_empty():
        return
    copy_to_temp_table(connection, "orders", latest, name="latest_rows")
    connection.execute(
        sa.text(
            "UPDATE orders o SET latest_raw_id = nullif(l.raw_id, o.raw_id) FROM latest_rows l"
            " WHERE o.shop_id = l.shop_id AND o.order_id = l.order_id"
            " AND greatest(o.raw_id, o.latest_raw_id) <> l.raw_id"
        )
    )

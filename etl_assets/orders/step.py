"""The `orders` asset: raw rows become the newest version of each order.

Reading and writing, in the order of the contract (design §4); the rules are in `orders.transform`. Apart from it: the
look-up of stored versions (`stored_versions`), rows that come late (`late_rows`), changes that downstream assets may
skip (`skip_consumers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
import sqlalchemy as sa

from etl_assets.database.bisect_write import write_bisecting
from etl_assets.database.frames import copy_rows, copy_to_temp_table, fetch_frame, update_rows
from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.ledger.import_presets import rows_by_preset
from etl_assets.ledger.queue import RawIdRange, max_rows
from etl_assets.ledger.range_sql import imported_rows
from etl_assets.orders.conflicts import reject_conflicts, split_conflicts, with_known_identity
from etl_assets.orders.faults import SHOP_NOT_MADE
from etl_assets.orders.late_rows import REPEATED, has_older_pending, store_latest_raw_id, store_repeated
from etl_assets.orders.skip_consumers import downstream_overrides
from etl_assets.orders.stored_versions import read_stored_versions
from etl_assets.orders.transform import (
    IDENTITY,
    ORDER_KEY,
    ORDER_SCHEMA,
    compare_with_stored,
    newest_versions,
    read_orders,
)
from etl_assets.pipeline.diff import count_changes
from etl_assets.pipeline.protocol import Batch, LoadResult, Step
from etl_assets.quarantine.rows import quarantine_rows, resolve_rows
from etl_assets.shop.step import refused_shops
from etl_assets.shop.transform import SHOP_KEY
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.vectorized_queries import VectorizedQueries

_RAW_TEXTS: Final = (
    "platform", "shop", "order_id", "customer_name", "order_status", "order_type", "amount", "currency", "ordered_at",
    "updated_at", "defect", "platform_order_id",
)  # fmt: skip
RAW_ORDER_TEXT_SCHEMA: Final = {
    "raw_id": pl.Int64(),
    "import_batch_id": pl.Int64(),
    **dict.fromkeys(_RAW_TEXTS, pl.String()),
}


class ParsedOrders(NamedTuple):
    """Raw rows, read as versions of orders."""

    versions: pl.DataFrame
    """The good rows (`ORDER_SCHEMA`)."""
    newest: pl.DataFrame
    """Of those the newest of each order."""
    rejected: pl.DataFrame
    """The bad rows (`REJECTED_SCHEMA`)."""


class OrdersStep(Step):
    """raw_orders → orders."""

    asset: AssetName = "orders"

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:
        """Read the pending raw rows without their items and processes, which are for other assets."""
        return database.read(
            f"SELECT r.raw_id, t.batch_id AS import_batch_id, {', '.join('r.' + name for name in _RAW_TEXTS)}"  # noqa: S608  # integers only
            f" FROM {imported_rows(ranges)}",
            RAW_ORDER_TEXT_SCHEMA,
            rows=max_rows(ranges),
        )

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[RawIdRange]) -> ParsedOrders:  # noqa: ARG002  # of the protocol
        """Read the rows as versions of orders."""
        shops = queries.batch_lookup_shops()
        types = queries.batch_lookup_order_type_mappings(rows["order_type"]).drop("is_mapped")
        with queries.database.transaction() as connection:
            read = [read_orders(part, preset, shops, types) for preset, part in rows_by_preset(connection, rows)]
        versions = pl.concat([pl.DataFrame(schema=ORDER_SCHEMA), *(good for good, _ in read)])
        rejected = pl.concat([pl.DataFrame(schema=REJECTED_SCHEMA), *(rejected for _, rejected in read)])
        return ParsedOrders(versions, newest_versions(versions), rejected)

    def load(self, batch: Batch, transformed: ParsedOrders) -> LoadResult:
        """Write the newest version of each order, quarantine bad rows, and enqueue the orders that changed."""
        versions, newest, rejected = transformed
        older_pending = has_older_pending(batch)
        written, refused = _write_newest(batch, versions, newest, older_pending=older_pending)
        _record_order_types(batch.connection, written)
        rejected = pl.concat([_with_refusals_of_shops(batch.connection, rejected), refused])
        quarantine_rows(batch.connection, self.asset, rejected)
        good = versions.join(refused, on="raw_id", how="anti")
        latest = good.group_by(ORDER_KEY).agg(pl.col("raw_id").max())
        if older_pending:
            winners = written.filter(pl.col("change") != "superseded")
            store_latest_raw_id(batch.connection, latest.join(winners, on="raw_id", how="anti"))
        _resolve(batch.connection, latest, rejected)
        overtaken = versions.height - written.height - refused.height
        counts = count_changes(written, superseded=overtaken, quarantined=rejected.height)
        changed = written.filter(pl.col("change").is_in(["inserted", "updated"]) | (REPEATED & older_pending))
        ranges = _enclosing_range(batch, changed)
        return LoadResult(
            counts, ranges, downstream_overrides=downstream_overrides(batch, changed), ranges_to_check=ranges
        )

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Reject the row as if it could not be read."""
        nothing = pl.DataFrame(schema=ORDER_SCHEMA)
        return self.load(batch, ParsedOrders(nothing, nothing, rejected))


def _with_refusals_of_shops(connection: sa.Connection, rejected: pl.DataFrame) -> pl.DataFrame:
    """Put the database's reason in place of `SHOP_NOT_MADE` for rows whose shop it refuses."""
    without_shop = rejected.filter(
        (pl.col("reason_code") == "MISSING_SHOP") & pl.col("reason").str.contains(SHOP_NOT_MADE, literal=True)
    )
    if without_shop.is_empty():
        return rejected
    copy_to_temp_table(connection, "raw_orders", without_shop.select("raw_id"), name="without_shop")
    named = fetch_frame(
        connection,
        "SELECT raw_id, platform, shop FROM without_shop JOIN raw_orders USING (raw_id)",
        {"raw_id": pl.Int64(), "platform": pl.String(), "shop_name": pl.String()},
    ).with_columns(clean_text(pl.col(SHOP_KEY)))
    refused = refused_shops(connection, named.select(SHOP_KEY).unique().sort(SHOP_KEY))
    refusals = named.join(refused, on=SHOP_KEY).select("raw_id", code="reason_code", refusal="reason")
    sentence = pl.col("reason").str.replace(SHOP_NOT_MADE, pl.col("refusal"), literal=True)
    return rejected.join(refusals, on="raw_id", how="left", maintain_order="left").select(
        "raw_id",
        *ORDER_KEY,
        reason_code=pl.coalesce("code", "reason_code"),
        reason=pl.when(pl.col("refusal").is_not_null()).then(sentence).otherwise("reason"),
    )


def _write_newest(
    batch: Batch, versions: pl.DataFrame, newest: pl.DataFrame, *, older_pending: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write the newest version of each order that the store takes.

    Hazard: a constraint or trigger of a user may refuse the newest version of an order, and the next older one is then
    the version that counts. So refused versions are taken away and the rest is compared anew, until the store takes one
    of each order or none is left (docs/decisions.md, "Refused versions").

    Returns:
        The written versions with their `change`, and the rejected ones (`REJECTED_SCHEMA`): refused by the store, or of
        another order than the one that has the number. All others are older than a written one.
    """
    written, rejected = [], []
    while True:
        stored = read_stored_versions(batch.connection, newest)
        versions, others = split_conflicts(versions, newest, stored)
        if others.height:
            newest = newest_versions(versions)
            stored = read_stored_versions(batch.connection, newest)
        decided = compare_with_stored(with_known_identity(newest, versions), stored)
        refused = write_bisecting(
            batch.connection, decided, lambda part: _write(batch, part, older_pending=older_pending)
        )
        written.append(decided.join(refused, on="raw_id", how="anti"))
        # Without the refused version, the number may belong to another order.
        settled = others.join(refused, on=ORDER_KEY, how="anti")
        rejected += [refused.select(*REJECTED_SCHEMA), reject_conflicts(settled)]
        left = pl.concat([versions, others]).join(refused, on=ORDER_KEY, how="semi")
        versions = left.join(refused, on="raw_id", how="anti")
        if versions.is_empty():
            return pl.concat(written), pl.concat(rejected)
        newest = newest_versions(versions)


def _write(batch: Batch, decided: pl.DataFrame, *, older_pending: bool) -> None:
    """Write inserted and updated orders, the customers that these leave, and orders that a later row repeats."""
    numbered = decided.with_columns(batch_id=pl.lit(batch.batch_id, pl.Int64))
    stored = [*ORDER_SCHEMA, "batch_id"]
    inserted = numbered.filter(pl.col("change") == "inserted").select(*stored, order_no="raw_id")
    copy_rows(batch.connection, "orders", inserted.sort("raw_id"))  # as everything downstream reads them
    updated = numbered.filter(pl.col("change") == "updated")
    update_rows(batch.connection, "orders", updated.select(stored), key=ORDER_KEY, set_now="updated_at")
    moved = updated.filter(pl.col("stored_customer").is_not_null()).filter(
        pl.col("stored_customer").ne_missing(pl.col("customer_global_id"))
    )
    copy_rows(
        batch.connection,
        "order_moves",
        moved.sort("raw_id").select("batch_id", "raw_id", customer_global_id="stored_customer"),
    )
    names_identity = numbered.filter(pl.col("names_identity") & pl.col("change").is_in(["unchanged", "superseded"]))
    update_rows(batch.connection, "orders", names_identity.select(*ORDER_KEY, IDENTITY), key=ORDER_KEY)
    if older_pending:
        store_repeated(batch, decided)


def _record_order_types(connection: sa.Connection, written: pl.DataFrame) -> None:
    """Add to the list of order types, so that a check of them need not read all orders."""
    types = written.filter(pl.col("change").is_in(["inserted", "updated"]))["order_type"].drop_nulls().unique().sort()
    if types.len():
        connection.execute(
            sa.text(
                "INSERT INTO order_types (order_type) SELECT unnest(CAST(:types AS text[])) ON CONFLICT DO NOTHING"
            ),
            {"types": types.to_list()},
        )


def _resolve(connection: sa.Connection, latest: pl.DataFrame, rejected: pl.DataFrame) -> None:
    """Resolve earlier bad rows of orders that have a good one now, and bad rows read after a later good one."""
    resolve_rows(connection, "orders", latest.with_columns(is_good=pl.lit(value=True)))
    keyed = rejected.drop_nulls(ORDER_KEY).select(*ORDER_KEY).unique()
    if keyed.is_empty():
        return
    copy_to_temp_table(connection, "orders", keyed, name="rejected_orders")
    stored = fetch_frame(
        connection,
        "SELECT shop_id, order_id, greatest(raw_id, latest_raw_id), false"
        " FROM rejected_orders JOIN orders USING (shop_id, order_id)",
        {"shop_id": pl.Int32(), "order_id": pl.String(), "raw_id": pl.Int64(), "is_good": pl.Boolean()},
    )
    resolve_rows(connection, "orders", stored)


def _enclosing_range(batch: Batch, rows: pl.DataFrame) -> list[RawIdRange]:
    """Return the range that has all these rows of a batch, if there are any."""
    if rows.is_empty():
        return []
    low, high = rows.select(low=pl.col("raw_id").min(), high=pl.col("raw_id").max()).row(0)
    return [RawIdRange(batch.batch_id, low, high)]

"""The `customers` asset: the customers of changed orders, and those that an order left.

Reading and writing; the rules are in `customers.transform`, large batches in `pipeline.customer_buckets`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from etl_assets.customers.transform import (
    CUSTOMER_ORDER_SCHEMA,
    summarise_customers,
    without_orders,
)
from etl_assets.database.bisect_write import write_bisecting
from etl_assets.database.columns import CREATED_BATCH_ID
from etl_assets.database.frames import copy_rows, copy_to_temp_table, delete_logged, update_rows
from etl_assets.frame_schemas import CUSTOMER_SCHEMA, REJECTED_SCHEMA
from etl_assets.ledger.batches import BatchCounts, close_batch, open_batch
from etl_assets.ledger.queue import imports_of, max_rows
from etl_assets.ledger.range_sql import anonymous_orders, changed_customers, moved_orders
from etl_assets.pipeline.customer_buckets import CustomerStep
from etl_assets.pipeline.diff import count_changes, diff_rows
from etl_assets.pipeline.protocol import Batch, LoadResult
from etl_assets.quarantine.rows import quarantine_rows, resolve_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.vectorized_queries import VectorizedQueries

_KEY: Final = ("customer_global_id",)


class ChangedCustomers(NamedTuple):
    """The customers of a batch."""

    keys: pl.DataFrame
    """`customer_global_id` of all of them."""
    orders: pl.DataFrame
    """All their orders (`CUSTOMER_ORDER_SCHEMA`)."""
    current: pl.DataFrame
    """Those that have orders, as `summarise_customers` returns them."""
    anonymous: pl.DataFrame
    """The orders of the batch without a customer."""
    left: pl.DataFrame
    """The customers that orders of the batch have left, and by which raw row: `customer_global_id`, `raw_id`."""


class CustomersStep(CustomerStep):
    """orders → customers."""

    asset: AssetName = "customers"
    batch_factor = 100

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:
        """Read all orders of the customers that changed orders name or have left (`CUSTOMER_ORDER_SCHEMA`).

        Besides, the changed orders without a customer, and a row without an order for each customer that one has left.
        In a first load simply all orders.
        """
        in_bucket, has_left = map(self.bucket.condition, ("o.customer_global_id", "m.customer_global_id"))
        # With the bucket on both sides: the planner carries no range from one side of a join to the other.
        changed = f"({changed_customers(ranges, self.bucket)}) changed JOIN orders o USING (customer_global_id)"
        orders = "orders o" if self.is_first_load else changed
        columns = ", ".join("o." + name for name in CUSTOMER_ORDER_SCHEMA)
        nothing = ", ".join("NULL" for name in CUSTOMER_ORDER_SCHEMA if name not in ("customer_global_id", "raw_id"))
        selects = [
            f"SELECT {columns} FROM {orders} WHERE {in_bucket}",  # noqa: S608  # integers only
            f"SELECT m.customer_global_id, {nothing}, m.raw_id FROM {moved_orders(ranges)} WHERE {has_left}",  # noqa: S608  # as above
            *anonymous_orders(columns, ranges, self.bucket),
        ]
        return database.read(" UNION ALL ".join(selects), CUSTOMER_ORDER_SCHEMA, rows=max_rows(ranges))

    def transform(
        self,
        queries: VectorizedQueries,
        rows: pl.DataFrame,
        ranges: Sequence[RawIdRange],  # noqa: ARG002  # of the protocol
    ) -> ChangedCustomers:
        """Summarise the customers of the batch from all their orders."""
        is_order, has_customer = pl.col("shop_id").is_not_null(), pl.col("customer_global_id").is_not_null()
        orders = rows.filter(is_order & has_customer)
        return ChangedCustomers(
            rows.select(_KEY).drop_nulls().unique(),
            orders,
            summarise_customers(orders, queries.batch_lookup_shops()),
            rows.filter(is_order & ~has_customer),
            rows.filter(~is_order).select(*_KEY, "raw_id"),
        )

    def load(self, batch: Batch, transformed: ChangedCustomers) -> LoadResult:
        """Write the customers that differ; delete those that have no order and no lead."""
        connection = batch.connection
        keys, orders, current, anonymous, left = transformed
        without_order = keys.join(current, on=_KEY, how="anti")
        deleted = delete_unreferenced_customers(connection, without_order, batch.batch_id)
        stored = batch.queries.batch_lookup_customers(keys, connection=connection, stored_within=self.stored_within)
        left_alone = without_orders(stored.join(current, on=_KEY, how="anti"))
        decided = diff_rows(pl.concat([current.select(*CUSTOMER_SCHEMA), left_alone]), stored, _KEY)
        changed = decided.filter(pl.col("change") != "unchanged")
        refused = write_bisecting(connection, changed, lambda part: _write(batch, part))
        rejected = refused.join(_latest_rows(current, left), on=_KEY).select(*REJECTED_SCHEMA)
        quarantine_rows(connection, self.asset, rejected)
        is_refused = pl.col("customer_global_id").is_in(refused["customer_global_id"].implode()).fill_null(value=False)
        is_left = pl.col("raw_id").is_in(left.filter(is_refused)["raw_id"].implode())
        current_rows = pl.concat([orders, anonymous]).with_columns(is_good=~is_refused & ~is_left)
        resolve_rows(connection, self.asset, current_rows, moved=left["raw_id"])
        counts = count_changes(
            decided.join(refused, on=_KEY, how="anti"),
            quarantined=rejected.height,
            deleted=deleted,
            anonymous_orders=anonymous.height,
        )
        return LoadResult(counts, batch.ranges, ranges_to_check=batch.ranges)

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Leave the order's customer as it is."""
        quarantine_rows(batch.connection, self.asset, rejected)
        return LoadResult(BatchCounts(quarantined=rejected.height), batch.ranges, ranges_to_check=batch.ranges)


def _latest_rows(current: pl.DataFrame, left: pl.DataFrame) -> pl.DataFrame:
    """Return the latest row of each customer, of an order that it has or had, to quarantine if its write is refused."""
    of_left = left.join(current, on=_KEY, how="anti").group_by(_KEY).agg(pl.col("raw_id").max())
    return pl.concat([current.select(*_KEY, "raw_id", "order_id"), of_left], how="diagonal")


def delete_customers_in_own_batch(batch: Batch, candidates: pl.DataFrame) -> None:
    """Delete unreferenced customers from within another asset's batch, as a batch of `customers` of its own."""
    if candidates.is_empty():
        return
    record = open_batch(batch.connection, "customers", batch.run_id, expected_epoch=None)
    deleted = delete_unreferenced_customers(batch.connection, candidates, record.batch_id)
    if deleted:
        close_batch(batch.connection, record, BatchCounts(deleted=deleted), imports_of(batch.connection, batch.ranges))


def delete_unreferenced_customers(connection: sa.Connection, candidates: pl.DataFrame, batch_id: int) -> int:
    """Delete those of the candidates that have neither orders nor leads any more; return how many.

    So the customers depend on the orders as they are, not on which versions of them were loaded in which run.
    """
    if candidates.is_empty():
        return 0
    copy_to_temp_table(connection, "customers", candidates.select(_KEY), name="delete_candidates")
    return delete_logged(
        connection,
        "customers",
        "DELETE FROM customers t USING delete_candidates c WHERE t.customer_global_id = c.customer_global_id"
        " AND NOT EXISTS (SELECT FROM orders o WHERE o.customer_global_id = t.customer_global_id)"
        " AND NOT EXISTS (SELECT FROM business_leads l WHERE l.customer_global_id = t.customer_global_id)",
        batch_id=batch_id,
    )


def _write(batch: Batch, decided: pl.DataFrame) -> None:
    created_by = pl.lit(batch.batch_id, pl.Int64).alias(CREATED_BATCH_ID)
    inserted = decided.filter(pl.col("change") == "inserted").select(*CUSTOMER_SCHEMA, created_by)
    copy_rows(batch.connection, "customers", inserted)
    changed = decided.filter(pl.col("change") == "updated").select(*CUSTOMER_SCHEMA)
    update_rows(batch.connection, "customers", changed, key=_KEY, set_now="updated_at", batch_id=batch.batch_id)

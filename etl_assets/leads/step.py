"""The `leads` asset: changed orders join or leave leads, and each of these leads gets the figures of its orders.

Reading and writing; the rules are in `leads.transform`, the log of changes in `leads.history`, the passing of time in
`leads.stale`, large batches in `pipeline.customer_buckets`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl_assets.customers.step import delete_customers_in_own_batch
from etl_assets.database.bisect_write import REJECTION_SCHEMA, rejection_reason, write_bisecting
from etl_assets.database.bulk_load import are_empty
from etl_assets.database.frames import copy_rows, copy_to_temp_table, delete_rows, is_inlined, look_up, update_rows
from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.lead_figures import FIGURES
from etl_assets.leads.history import detach_orders, log_changes
from etl_assets.leads.past import clear_tombstones, read_past
from etl_assets.leads.stale import mark_cold_leads
from etl_assets.leads.transform import (
    LEAD_ORDER_SCHEMA,
    Attachment,
    attach_orders,
    figures_and_withdrawals,
    with_reverted,
)
from etl_assets.ledger.batches import BatchCounts
from etl_assets.ledger.queue import max_rows
from etl_assets.ledger.range_sql import anonymous_orders, changed_orders, deleted_orders, limit_clause
from etl_assets.orders.transform import ORDER_KEY
from etl_assets.pipeline.bisect_batch import MAX_REJECTED_ROWS
from etl_assets.pipeline.customer_buckets import CustomerStep
from etl_assets.pipeline.diff import count_changes, diff_rows
from etl_assets.pipeline.protocol import Batch, LoadResult, Services
from etl_assets.quarantine.rows import quarantine_rows, resolve_rows
from etl_assets.shop.unnamed import delete_unnamed_shops
from etl_assets.values.timestamps import TIMESTAMP_UTC

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.vectorized_queries import VectorizedQueries

CHANGED_ORDER_SCHEMA: Final = {
    **LEAD_ORDER_SCHEMA,
    "lead_id": pl.String(),
    "lead_customer": pl.String(),
    "is_deleted": pl.Boolean(),
}
_LEAD_OF_ORDER: Final = (
    "a.lead_id, l.customer_global_id AS lead_customer",
    (
        "LEFT JOIN lead_orders a ON a.shop_id = o.shop_id AND a.order_id = o.order_id"
        " LEFT JOIN business_leads l ON l.lead_id = a.lead_id"
    ),
)
"""Columns and join of the lead that an order `o` is attached to."""
_NO_LEAD: Final = ("CAST(NULL AS uuid) AS lead_id, CAST(NULL AS uuid) AS lead_customer", "")
_LEAD_KEY: Final = ("lead_id",)


class LeadChanges(NamedTuple):
    """Changes of a batch to leads and to the orders in them."""

    attachment: Attachment
    """Orders that join, leave or stay in a lead."""
    members: pl.DataFrame
    """All orders that the leads have then (`LEAD_ORDER_SCHEMA`, `lead_id`)."""
    figures: pl.DataFrame
    """Figures of the leads, with `change`; without those of withdrawn leads."""
    withdrawn: pl.DataFrame
    """Leads to delete, as `withdrawn_leads` returns them."""


class LeadsStep(CustomerStep):
    """customers, orders → business_leads, lead_orders."""

    asset: AssetName = "leads"
    batch_factor = 100

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:
        """Read the changed orders with the lead that each is attached to (`CHANGED_ORDER_SCHEMA`)."""
        lead, attached = _NO_LEAD if self.is_first_load else _LEAD_OF_ORDER
        columns = f"{_ORDER_COLUMNS}, {lead}, false AS is_deleted"
        in_bucket = self.bucket.condition("o.customer_global_id")
        selects = [
            f"(SELECT {columns} FROM {changed_orders(ranges)} {attached} WHERE {in_bucket} {limit_clause(ranges)})",  # noqa: S608  # integers only
            *anonymous_orders(columns, ranges, self.bucket, attached),
            *([] if self.is_first_load else [self._deleted_orders(ranges)]),
        ]
        return database.read(" UNION ALL ".join(selects), CHANGED_ORDER_SCHEMA, rows=max_rows(ranges))

    def _deleted_orders(self, ranges: Sequence[RawIdRange]) -> str:
        """Return the query of deleted orders that are still attached: they come with the bucket of the lead."""
        values = {"shop_id": "d.shop_id", "order_id": "d.order_id", "raw_id": "d.raw_id", "is_cancelled": "true"}
        columns = ", ".join(values.get(name, "NULL") for name in LEAD_ORDER_SCHEMA)
        in_bucket = self.bucket.condition("l.customer_global_id")
        of_no_lead = " OR l.lead_id IS NULL" if self.bucket.index == 0 else ""
        return (
            f"(SELECT {columns}, a.lead_id, l.customer_global_id, true FROM {deleted_orders(ranges)}"  # noqa: S608  # integers only
            " JOIN lead_orders a ON a.shop_id = d.shop_id AND a.order_id = d.order_id"
            " LEFT JOIN business_leads l ON l.lead_id = a.lead_id"
            f" WHERE ({in_bucket}{of_no_lead}) AND NOT EXISTS"
            " (SELECT FROM orders o WHERE o.shop_id = d.shop_id AND o.order_id = d.order_id))"
        )

    def transform(
        self,
        queries: VectorizedQueries,  # noqa: ARG002  # of the protocol
        rows: pl.DataFrame,
        ranges: Sequence[RawIdRange],  # noqa: ARG002  # as above
    ) -> pl.DataFrame:
        """Return the changed orders as they are: all rules need the leads as they are once they are locked."""
        return rows

    def load(self, batch: Batch, transformed: pl.DataFrame) -> LoadResult:
        """Attach the orders, compute the figures of their leads anew, delete those that have no order left."""
        connection, rows = batch.connection, transformed
        customers = pl.concat([rows["customer_global_id"], rows["lead_customer"]]).drop_nulls().unique()
        leads = batch.queries.batch_lookup_leads(
            customers, connection=connection, lock=True, stored_within=self.stored_within
        )
        deleted, former = read_past(connection, customers, rows.filter(pl.col("lead_id").is_null()))
        changes, rejected = _write_changes(batch, rows, leads, deleted, former)
        quarantine_rows(connection, self.asset, rejected)
        good = rows.join(rejected, on="raw_id", how="anti") if rejected.height else rows
        current = good.filter(~pl.col("is_deleted"))
        resolve_rows(connection, self.asset, _current_orders(current, changes.members, leads))
        log_changes(connection, batch.batch_id, "withdrawn", _figures_of(leads, changes.withdrawn))
        delete_rows(connection, "business_leads", changes.withdrawn.select("lead_id"), batch_id=batch.batch_id)
        clear_tombstones(connection, deleted)
        delete_customers_in_own_batch(batch, changes.withdrawn)
        reopened = changes.attachment.reopened
        counts = count_changes(
            changes.figures.join(reopened, on="lead_id", how="anti"),
            updated=reopened.height,
            quarantined=rejected.height,
            deleted=changes.withdrawn.height,
            anonymous_orders=rows.filter(~pl.col("is_deleted"))["customer_global_id"].null_count(),
        )
        return LoadResult(counts, (), ranges_to_check=batch.ranges)

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Leave the order where it is, and its lead as it is."""
        quarantine_rows(batch.connection, self.asset, rejected)
        return LoadResult(BatchCounts(quarantined=rejected.height), (), ranges_to_check=batch.ranges)

    def finish(self, services: Services, run_id: str | None) -> BatchCounts:
        """Mark leads without recent orders COLD, where a setting says after how many days; delete unnamed shops."""
        delete_unnamed_shops(services.database, run_id)
        days = services.settings.cold_after_days
        if days is None:
            return BatchCounts()
        return mark_cold_leads(services.database, cold_after_days=days, run_id=run_id)


def _current_orders(good: pl.DataFrame, members: pl.DataFrame, leads: pl.DataFrame) -> pl.DataFrame:
    """Return the orders of leads and those of none, and whether each `is_good` where it is: has no lead to leave."""
    anonymous_or_cancelled = good.filter(pl.col("is_cancelled") | pl.col("customer_global_id").is_null())
    without_lead = anonymous_or_cancelled.select(members.columns).with_columns(is_good=True)
    if leads.is_empty():
        return pl.concat([members.with_columns(is_good=True), without_lead])
    owners = leads.select("lead_id", owner="customer_global_id")
    belongs = (pl.col("owner") == pl.col("customer_global_id")) & ~pl.col("is_cancelled")
    known = members.join(owners, on="lead_id", how="left", maintain_order="left")
    in_lead = known.select(*members.columns, is_good=pl.col("owner").is_null() | belongs.fill_null(value=False))
    return pl.concat([in_lead, without_lead])


def _write_changes(
    batch: Batch, rows: pl.DataFrame, leads: pl.DataFrame, deleted: pl.DataFrame, former: pl.DataFrame | None
) -> tuple[LeadChanges, pl.DataFrame]:
    """Decide and write the changes; leave the orders of leads that the store refuses where they are, and decide anew.

    Hazard: an order that leaves one lead joins another. Were one of the two written and the other refused, a later
    replay would bring back neither the figures nor the other orders. So all orders that join, leave or stay in a
    refused lead are rejected (docs/decisions.md, "Refused leads").

    Returns:
        The written changes, and the orders of refused leads (`REJECTED_SCHEMA`).
    """
    rejected = [pl.DataFrame(schema=REJECTED_SCHEMA)]
    while True:
        read_attached = partial(read_attached_orders, batch.connection)
        changes, orders = decide_changes(read_attached, rows, leads, deleted, former)
        try:
            with batch.connection.begin_nested():
                detach_orders(batch.connection, batch.batch_id, changes.attachment.detached)
                _write(batch, changes.figures, changes.attachment, leads)
        except (DBAPIError, psycopg.Error) as error:
            refused = _refused_orders(batch, changes, orders, leads, rows) if rejection_reason(error) else None
            if refused is None:
                raise
            rows = rows.join(refused, on="raw_id", how="anti")
            rejected.append(refused)
        else:
            return changes, pl.concat(rejected)


def _refused_orders(
    batch: Batch, changes: LeadChanges, orders: pl.DataFrame, leads: pl.DataFrame, rows: pl.DataFrame
) -> pl.DataFrame | None:
    """Return the changed orders (of `rows`) in leads that the store refuses (`REJECTED_SCHEMA`); writes nothing.

    None where the batch is to be halved instead: leads are not what is refused, or one order of a few may be to blame.

    Args:
        batch: within its transaction.
        changes: that the store refuses.
        orders: that the changes were made of, as `decide_changes` returns them.
        leads: as stored.
        rows: the changed orders of the batch.
    """
    with batch.connection.begin_nested() as trial:
        detach_orders(batch.connection, batch.batch_id, changes.attachment.detached)
        refused = write_bisecting(
            batch.connection, changes.figures, lambda part: _write(batch, part, changes.attachment, leads)
        )
        trial.rollback()
    columns = ("lead_id", *ORDER_KEY, "raw_id")
    in_leads = pl.concat([changes.attachment.attached.select(columns), orders.select(columns)])
    rejected = (
        in_leads.join(refused.select("lead_id", *REJECTION_SCHEMA), on="lead_id")
        .join(rows, on="raw_id", how="semi")
        .unique()
    )
    one_of_few = rejected["lead_id"].is_duplicated().any() and rejected.height <= MAX_REJECTED_ROWS
    if rejected.is_empty() or one_of_few:
        return None
    return rejected.unique("raw_id").sort("raw_id").select(*REJECTED_SCHEMA)


def decide_changes(
    read_attached: Callable[[pl.DataFrame], pl.DataFrame],
    rows: pl.DataFrame,
    leads: pl.DataFrame,
    deleted: pl.DataFrame,
    former: pl.DataFrame | None,
) -> tuple[LeadChanges, pl.DataFrame]:
    """Decide the changes to the leads of changed orders; writes nothing.

    Hazard: a lead's figures are those of all its orders, most of which the batch has not read. So every lead that an
    order is in, joins or leaves gets all its other orders from the store, under the lock of the lead, and its figures
    are computed from scratch, never added to (docs/decisions.md, "Result depends on current orders only").

    Returns:
        The changes, and the orders that they were made of, with the `lead_id` that each is attached to now.
    """
    orders, attachment = _attach(read_attached, rows.drop("lead_customer", "is_deleted"), leads, deleted, former)
    attachment = with_reverted(attachment, rows.filter("is_deleted").select(ORDER_KEY))
    stored = leads.select("lead_id").join(orders, on="lead_id", how="semi")
    changed = pl.concat([stored, attachment.attached.select("lead_id")]).unique()
    of_stored = read_attached(changed.join(attachment.new_leads, on="lead_id", how="anti"))
    others = of_stored.join(orders, on=ORDER_KEY, how="anti")
    members = pl.concat([frame.select(others.columns) for frame in (others, attachment.kept, attachment.attached)])
    figures, withdrawn = figures_and_withdrawals(changed, members, leads)
    decided = diff_rows(figures, leads.select(figures.columns), _LEAD_KEY)
    return LeadChanges(attachment, members, decided, withdrawn), orders


def _attach(
    read_attached: Callable[[pl.DataFrame], pl.DataFrame],
    orders: pl.DataFrame,
    leads: pl.DataFrame,
    deleted: pl.DataFrame,
    former: pl.DataFrame | None,
) -> tuple[pl.DataFrame, Attachment]:
    """Attach the orders; return them, and others that have to be attached with them, and their attachment.

    Hazard: the orders of a lead that was deleted by hand still name it, and a new lead of the customer may get the same
    id; those would be in the lead and not in its figures. So they are attached anew all together, also those that have
    not changed (docs/decisions.md, "Deleted leads").
    """
    done = pl.DataFrame(schema={"lead_id": pl.String()})
    customers = pl.concat([leads["customer_global_id"], orders["customer_global_id"]]).drop_nulls().unique()
    while True:
        attachment = attach_orders(orders, leads, former)
        named = orders.select("lead_id").drop_nulls().join(leads, on="lead_id", how="anti")
        made_again = attachment.new_leads.select("lead_id").join(deleted, on="lead_id", how="semi")
        missing = pl.concat([named, made_again]).unique().join(done, on="lead_id", how="anti")
        left_over = read_attached(missing).join(orders, on=ORDER_KEY, how="anti")
        # An order of a customer that this batch has not locked comes with a batch of that customer.
        left_over = left_over.filter(
            pl.col("customer_global_id").is_null() | pl.col("customer_global_id").is_in(customers.implode())
        )
        if left_over.is_empty():
            return orders, attachment
        orders = pl.concat([orders, left_over.select(orders.columns)])
        done = pl.concat([done, missing])


def read_attached_orders(connection: sa.Connection, leads: pl.DataFrame) -> pl.DataFrame:
    """Read all orders attached to the given leads: `LEAD_ORDER_SCHEMA` and `lead_id`."""
    schema = {**LEAD_ORDER_SCHEMA, "lead_id": pl.String()}
    if leads.is_empty() or (not is_inlined(leads) and are_empty(connection, ["lead_orders"])):
        return pl.DataFrame(schema=schema)
    return look_up(connection, _ATTACHED, schema, keys=leads.select("lead_id"), like="business_leads", name="lead_ids")


_ORDER_COLUMNS: Final = ", ".join("o." + name for name in LEAD_ORDER_SCHEMA)
_ATTACHED: Final = f"""
    WITH attached AS MATERIALIZED (
        SELECT a.lead_id, a.shop_id, a.order_id FROM lead_ids JOIN lead_orders a USING (lead_id)
    ), owners AS (
        SELECT DISTINCT customer_global_id FROM lead_ids JOIN business_leads USING (lead_id)
    ), of_customer AS MATERIALIZED (
        SELECT {_ORDER_COLUMNS} FROM owners JOIN orders o USING (customer_global_id)
    )
    SELECT {_ORDER_COLUMNS}, a.lead_id FROM attached a JOIN of_customer o USING (shop_id, order_id)
    UNION ALL
    SELECT {_ORDER_COLUMNS}, a.lead_id FROM attached a JOIN orders o USING (shop_id, order_id)
    WHERE NOT EXISTS (SELECT FROM of_customer c WHERE c.shop_id = a.shop_id AND c.order_id = a.order_id)
"""  # noqa: S608  # constants only
"""The orders of leads. Nearly all are those of the leads' customers, which `customers` has just read.

This way 1,000 orders on ten million took 110 ms instead of 290 ms (docs/performance.md, "Gain of each optimisation").
"""


def _figures_of(stored: pl.DataFrame, leads: pl.DataFrame) -> pl.DataFrame:
    return stored.join(leads, on="lead_id", how="semi").select("lead_id", *FIGURES)


def _write(batch: Batch, leads: pl.DataFrame, attachment: Attachment, stored: pl.DataFrame) -> None:
    """Write some leads (figures, with `change`) and the orders that join them; log the changes of stored ones."""
    connection = batch.connection
    new = (
        leads.filter(pl.col("change") == "inserted").join(attachment.new_leads, on="lead_id").sort("customer_global_id")
    )
    copy_rows(
        connection,
        "business_leads",
        new.select(
            "lead_id",
            "customer_global_id",
            "lead_no",
            *FIGURES,
            current_stage=pl.lit("OPEN"),
            opened_at=pl.lit(_transaction_time(connection) if new.height else None, TIMESTAMP_UTC),
            batch_id=pl.lit(batch.batch_id),
        ),
    )
    changed = leads.filter(pl.col("change") == "updated").select("lead_id", *FIGURES)
    reopened = attachment.reopened.join(leads, on="lead_id", how="semi")
    log_changes(connection, batch.batch_id, "reopened", reopened)
    log_changes(connection, batch.batch_id, "figures", _figures_of(stored, changed))
    update_rows(connection, "business_leads", changed, key=_LEAD_KEY, set_now="updated_at", batch_id=batch.batch_id)
    if reopened.height:
        copy_to_temp_table(connection, "business_leads", reopened.select("lead_id"), name="reopened_leads")
        connection.execute(
            sa.text(
                "WITH reopened AS (UPDATE business_leads l SET current_stage = 'OPEN', reopened_at = now(),"
                " updated_at = now(), reopen_count = reopen_count + 1 FROM reopened_leads r"
                " WHERE l.lead_id = r.lead_id RETURNING l.*)"
                " INSERT INTO row_changes (batch_id, row_key, created_batch_id, before, after)"
                " SELECT :batch_id, jsonb_build_object('lead_id', lead_id), batch_id,"
                " jsonb_build_object('current_stage', 'COLD', 'reopen_count', reopen_count - 1),"
                " jsonb_build_object('current_stage', 'OPEN', 'reopen_count', reopen_count) FROM reopened"
            ),
            {"batch_id": batch.batch_id},
        )
    attached = attachment.attached.join(leads, on="lead_id", how="semi")
    rows = attached.sort("raw_id").select(*ORDER_KEY, "lead_id", "strategy", batch_id=pl.lit(batch.batch_id))
    copy_rows(connection, "lead_orders", rows)


def _transaction_time(connection: sa.Connection) -> object:
    return connection.execute(sa.text("SELECT now()")).scalar_one()

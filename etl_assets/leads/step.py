"""The `leads` asset: changed orders join or leave leads, and every lead concerned gets the figures of its orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl_assets.customers.step import delete_customers_in_own_batch
from etl_assets.database.bisect_write import REJECTION_SCHEMA, rejection_reason, write_bisecting
from etl_assets.database.frames import copy_rows, copy_to_temp_table, delete_rows, fetch_frame, update_rows
from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.leads.history import detach_orders, log_changes
from etl_assets.leads.transform import (
    FIGURES,
    LEAD_ORDER_SCHEMA,
    Attachment,
    FirstLeads,
    attach_orders,
    empty_figures,
    first_leads,
    lead_figures,
    withdrawn_leads,
)
from etl_assets.ledger.batches import BatchCounts
from etl_assets.ledger.queue import max_rows
from etl_assets.ledger.range_sql import changed_orders, limit_clause
from etl_assets.orders.transform import ORDER_KEY
from etl_assets.pipeline.bisect_batch import MAX_REJECTED_ROWS
from etl_assets.pipeline.customer_buckets import CustomerStep
from etl_assets.pipeline.diff import count_changes, diff_rows
from etl_assets.pipeline.protocol import Batch, LoadResult
from etl_assets.quarantine.rows import quarantine_rows, resolve_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.vectorized_queries import VectorizedQueries

CHANGED_ORDER_SCHEMA: Final = {
    **LEAD_ORDER_SCHEMA,
    "lead_id": pl.String(),
    "lead_customer": pl.String(),
}
_LEAD_OF_ORDER: Final = (
    "a.lead_id, l.customer_global_id AS lead_customer",
    (
        "LEFT JOIN lead_orders a ON a.shop_id = o.shop_id AND a.order_id = o.order_id"
        " LEFT JOIN business_leads l ON l.lead_id = a.lead_id"
    ),
)
"""What to select and join for the lead that an order `o` is attached to."""
_NO_LEAD: Final = ("CAST(NULL AS uuid) AS lead_id, CAST(NULL AS uuid) AS lead_customer", "")
_LEAD_KEY: Final = ("lead_id",)


class ParsedChanges(NamedTuple):
    """The changed orders of a batch."""

    rows: pl.DataFrame
    """All of them (`CHANGED_ORDER_SCHEMA`)."""
    first: FirstLeads
    """The leads of those whose customers may turn out to have none."""

    @classmethod
    def of(cls, rows: pl.DataFrame) -> ParsedChanges:
        """Work out the leads of customers who have none; who has some is known when the batch is loaded."""
        return cls(rows, first_leads(rows.filter(pl.col("lead_id").is_null())))

    def without(self, orders: pl.DataFrame) -> ParsedChanges:
        """Those of other orders than the given ones (`raw_id`)."""
        return ParsedChanges.of(self.rows.join(orders, on="raw_id", how="anti"))


class _Decision(NamedTuple):
    """What becomes of the leads that a batch concerns."""

    plan: Attachment
    decided: pl.DataFrame
    """Their figures, with `change`."""
    orders: pl.DataFrame
    """The changed orders, with the lead that each is attached to now; without those of customers who have none."""
    members: pl.DataFrame
    """All their orders (`LEAD_ORDER_SCHEMA`, `lead_id`)."""
    withdrawn: pl.DataFrame
    """As `withdrawn_leads` returns them."""


class LeadsStep(CustomerStep):
    """customers, orders → business_leads, lead_orders."""

    asset: AssetName = "leads"
    batch_factor = 100

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:
        """The changed orders with the lead that each is attached to (`CHANGED_ORDER_SCHEMA`)."""
        lead, attached = _NO_LEAD if self.is_first_load else _LEAD_OF_ORDER
        columns, in_bucket = f"{_ORDER_COLUMNS}, {lead}", self.bucket.condition("o.customer_global_id")
        parts = [
            f"(SELECT {columns} FROM {changed_orders(ranges)} {attached} WHERE {in_bucket} {limit_clause(ranges)})",  # noqa: S608  # integers only
            *self.bucket.anonymous_orders_query(columns, ranges, attached),
        ]
        return database.read(" UNION ALL ".join(parts), CHANGED_ORDER_SCHEMA, rows=max_rows(ranges))

    def transform(
        self,
        queries: VectorizedQueries,  # noqa: ARG002  # of the protocol
        rows: pl.DataFrame,
        ranges: Sequence[RawIdRange],  # noqa: ARG002
    ) -> ParsedChanges:
        """Work out the leads of customers who have none; who has some is known when the batch is loaded."""
        return ParsedChanges.of(rows)

    def load(self, batch: Batch, transformed: ParsedChanges) -> LoadResult:
        """Attach the orders, recompute the leads concerned, withdraw those that have no order left."""
        connection, rows = batch.connection, transformed.rows
        customers = pl.concat([rows["customer_global_id"], rows["lead_customer"]]).drop_nulls().unique()
        leads = batch.queries.batch_lookup_leads(customers, connection=connection, lock=True, among=self.among)
        deleted = _deleted_leads(connection, customers)
        decision, changes, rejected = _write_decided(batch, transformed, leads, deleted)
        plan, decided, _, members, withdrawn = decision
        quarantine_rows(connection, self.asset, rejected)
        of_no_lead = changes.rows.filter(pl.col("is_cancelled") | pl.col("customer_global_id").is_null())
        concerned = pl.concat(
            [_with_goodness(members, leads), of_no_lead.select(members.columns).with_columns(is_good=True)]
        )
        resolve_rows(connection, self.asset, concerned)
        log_changes(connection, batch.batch_id, "withdrawn", _figures_of(leads, withdrawn))
        delete_rows(connection, "business_leads", withdrawn.select("lead_id"))
        _clear_tombstones(connection, deleted)
        delete_customers_in_own_batch(connection, withdrawn, batch.run_id)
        counts = count_changes(
            decided.join(plan.reopened, on="lead_id", how="anti"),
            updated=plan.reopened.height,
            quarantined=rejected.height,
            deleted=withdrawn.height,
            anonymous_orders=rows["customer_global_id"].null_count(),
        )
        return LoadResult(counts, (), ranges_to_check=batch.ranges)

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Leave the order where it is, and its lead as it is."""
        quarantine_rows(batch.connection, self.asset, rejected)
        return LoadResult(BatchCounts(quarantined=rejected.height), (), ranges_to_check=batch.ranges)


def _with_goodness(members: pl.DataFrame, leads: pl.DataFrame) -> pl.DataFrame:
    """The orders of leads, and whether each `is_good` where it is: not one that has yet to leave the lead."""
    if leads.is_empty():
        return members.with_columns(is_good=True)
    owners = leads.select("lead_id", owner="customer_global_id")
    belongs = (pl.col("owner") == pl.col("customer_global_id")) & ~pl.col("is_cancelled")
    known = members.join(owners, on="lead_id", how="left", maintain_order="left")
    return known.select(*members.columns, is_good=pl.col("owner").is_null() | belongs.fill_null(value=False))


def _write_decided(
    batch: Batch, changes: ParsedChanges, leads: pl.DataFrame, deleted: pl.DataFrame
) -> tuple[_Decision, ParsedChanges, pl.DataFrame]:
    """Decide and write. Orders that join, leave or stay in a lead that the store refuses are left where they are.

    All of them, or else a later replay would bring back some orders of the lead only. What is left is decided anew.

    Returns:
        What was written, the changes that it was made of, and the orders of refused leads (`REJECTED_SCHEMA`).
    """
    rejected = [pl.DataFrame(schema=REJECTED_SCHEMA)]
    while True:
        decision = _decide(batch.connection, changes, leads, deleted)
        try:
            with batch.connection.begin_nested():
                _write_all(batch, decision, leads)
        except (DBAPIError, psycopg.Error) as error:
            refused = _refused_orders(batch, decision, leads, changes.rows) if rejection_reason(error) else None
            if refused is None:
                raise
            changes = changes.without(refused)
            rejected.append(refused)
        else:
            return decision, changes, pl.concat(rejected)


def _refused_orders(
    batch: Batch, decision: _Decision, leads: pl.DataFrame, changed: pl.DataFrame
) -> pl.DataFrame | None:
    """The changed orders of leads that the store refuses (`REJECTED_SCHEMA`); writes nothing.

    None where it is for the batch to be halved: leads are not what is refused, or one order of a few may be to blame.
    """
    with batch.connection.begin_nested() as trial:
        detach_orders(batch.connection, batch.batch_id, decision.plan.detached)
        refused = write_bisecting(
            batch.connection, decision.decided, lambda part: _write(batch, part, decision.plan, leads)
        )
        trial.rollback()
    columns = ("lead_id", *ORDER_KEY, "raw_id")
    concerned = pl.concat([decision.plan.attached.select(columns), decision.orders.select(columns)])
    orders = (
        concerned.join(refused.select("lead_id", *REJECTION_SCHEMA), on="lead_id")
        .join(changed, on="raw_id", how="semi")
        .unique()
    )
    one_of_few = orders["lead_id"].is_duplicated().any() and orders.height <= MAX_REJECTED_ROWS
    if orders.is_empty() or one_of_few:
        return None
    return orders.unique("raw_id").sort("raw_id").select(*REJECTED_SCHEMA)


def _decide(connection: sa.Connection, changes: ParsedChanges, leads: pl.DataFrame, deleted: pl.DataFrame) -> _Decision:
    """Put together the leads of customers who have none, worked out already, and those of the others."""
    first = changes.first.without(_customers_with_leads(changes.rows, leads, deleted))
    others = changes.rows.join(first.attached, on="raw_id", how="anti") if first.attached.height else changes.rows
    orders, plan = _plan(connection, others.drop("lead_customer"), leads, deleted)
    known = leads.select("lead_id").join(orders, on="lead_id", how="semi")
    concerned = pl.concat([known, plan.attached.select("lead_id")]).unique()
    unchanged = _attached_orders(connection, concerned.join(plan.new_leads, on="lead_id", how="anti"))
    unchanged = unchanged.join(orders, on=ORDER_KEY, how="anti")
    columns = unchanged.columns
    members = pl.concat([unchanged, plan.kept.select(columns), plan.attached.select(columns)])
    empty = concerned.join(members, on="lead_id", how="anti")
    withdrawn = withdrawn_leads(empty, leads)
    left_empty = empty_figures(empty.join(withdrawn, on="lead_id", how="anti"))
    figures = pl.concat([lead_figures(members), left_empty, first.figures])
    plan = plan.with_first(first)
    decided = diff_rows(figures, leads.select(figures.columns), _LEAD_KEY)
    return _Decision(plan, decided, orders, pl.concat([members, first.attached.select(columns)]), withdrawn)


def _customers_with_leads(rows: pl.DataFrame, leads: pl.DataFrame, deleted: pl.DataFrame) -> pl.Series:
    """The customers of a batch who have leads or orders of leads, or had a lead that people deleted."""
    attached = rows.filter(pl.col("lead_id").is_not_null())["customer_global_id"]
    return pl.concat([leads["customer_global_id"], deleted["customer_global_id"], attached]).drop_nulls().unique()


def _deleted_leads(connection: sa.Connection, customers: pl.Series) -> pl.DataFrame:
    """The leads of the customers that people have deleted: `lead_id`, `customer_global_id`."""
    schema = {"lead_id": pl.String(), "customer_global_id": pl.String()}
    if not connection.execute(sa.text("SELECT EXISTS (SELECT FROM deleted_leads)")).scalar_one():
        return pl.DataFrame(schema=schema)
    keys = customers.alias("customer_global_id").to_frame()
    copy_to_temp_table(connection, "deleted_leads", keys, name="lead_customers")
    return fetch_frame(
        connection,
        "SELECT lead_id, customer_global_id FROM deleted_leads JOIN lead_customers USING (customer_global_id)",
        schema,
    )


def _clear_tombstones(connection: sa.Connection, deleted: pl.DataFrame) -> None:
    """Take leads that exist again off the note of deleted ones."""
    if deleted.height:
        connection.execute(sa.text("DELETE FROM deleted_leads d USING business_leads l WHERE l.lead_id = d.lead_id"))


def _plan(
    connection: sa.Connection, orders: pl.DataFrame, leads: pl.DataFrame, deleted: pl.DataFrame
) -> tuple[pl.DataFrame, Attachment]:
    """Attach the orders; returns them and what becomes of them.

    If people have deleted a lead, its orders are attached anew together: also those that have not changed, so that
    a new lead, which may get the same id again, has the figures of all of them.
    """
    done = pl.DataFrame(schema={"lead_id": pl.String()})
    customers = pl.concat([leads["customer_global_id"], orders["customer_global_id"]]).drop_nulls().unique()
    while True:
        plan = attach_orders(orders, leads)
        gone = orders.select("lead_id").drop_nulls().join(leads, on="lead_id", how="anti")
        again = plan.new_leads.select("lead_id").join(deleted, on="lead_id", how="semi")
        absent = pl.concat([gone, again]).unique().join(done, on="lead_id", how="anti")
        left_over = _attached_orders(connection, absent).join(orders, on=ORDER_KEY, how="anti")
        # An order of a customer that this batch has not locked comes with a batch of that customer.
        left_over = left_over.filter(
            pl.col("customer_global_id").is_null() | pl.col("customer_global_id").is_in(customers.implode())
        )
        if left_over.is_empty():
            return orders, plan
        orders = pl.concat([orders, left_over.select(orders.columns)])
        done = pl.concat([done, absent])


def _attached_orders(connection: sa.Connection, leads: pl.DataFrame) -> pl.DataFrame:
    """All orders attached to the given leads: `LEAD_ORDER_SCHEMA` and `lead_id`."""
    schema = {**LEAD_ORDER_SCHEMA, "lead_id": pl.String()}
    if leads.is_empty() or not connection.execute(sa.text("SELECT EXISTS (SELECT FROM lead_orders)")).scalar_one():
        return pl.DataFrame(schema=schema)
    copy_to_temp_table(connection, "business_leads", leads.select("lead_id"), name="lead_ids")
    return fetch_frame(connection, _ATTACHED, schema)


_ORDER_COLUMNS: Final = ", ".join("o." + name for name in LEAD_ORDER_SCHEMA)
_ATTACHED: Final = f"""
    WITH attached AS MATERIALIZED (
        SELECT a.lead_id, a.shop_id, a.order_id FROM lead_ids JOIN lead_orders a USING (lead_id)
    ), concerned AS (
        SELECT DISTINCT customer_global_id FROM lead_ids JOIN business_leads USING (lead_id)
    ), of_customer AS MATERIALIZED (
        SELECT {_ORDER_COLUMNS} FROM concerned JOIN orders o USING (customer_global_id)
    )
    SELECT {_ORDER_COLUMNS}, a.lead_id FROM attached a JOIN of_customer o USING (shop_id, order_id)
    UNION ALL
    SELECT {_ORDER_COLUMNS}, a.lead_id FROM attached a JOIN orders o USING (shop_id, order_id)
    WHERE NOT EXISTS (SELECT FROM of_customer c WHERE c.shop_id = a.shop_id AND c.order_id = a.order_id)
"""  # noqa: S608  # constants only
"""The orders of leads. Nearly all are their customers' and found with those, which `customers` has just read."""


def _figures_of(stored: pl.DataFrame, leads: pl.DataFrame) -> pl.DataFrame:
    return stored.join(leads, on="lead_id", how="semi").select("lead_id", *FIGURES)


def _write_all(batch: Batch, decision: _Decision, leads: pl.DataFrame) -> None:
    detach_orders(batch.connection, batch.batch_id, decision.plan.detached)
    _write(batch, decision.decided, decision.plan, leads)


def _write(batch: Batch, leads: pl.DataFrame, plan: Attachment, stored: pl.DataFrame) -> None:
    """Write some leads and the orders that join them, and note what changed of the stored ones."""
    connection = batch.connection
    new = leads.filter(pl.col("change") == "inserted").join(plan.new_leads, on="lead_id").sort("customer_global_id")
    copy_rows(
        connection,
        "business_leads",
        new.select(
            "lead_id",
            "customer_global_id",
            "lead_no",
            *FIGURES,
            current_stage=pl.lit("OPEN"),
            opened_at=pl.lit(_transaction_time(connection)),
            batch_id=pl.lit(batch.batch_id),
        ),
    )
    changed = leads.filter(pl.col("change") == "updated").select("lead_id", *FIGURES)
    reopened = plan.reopened.join(leads, on="lead_id", how="semi")
    log_changes(connection, batch.batch_id, "reopened", reopened)
    log_changes(connection, batch.batch_id, "figures", _figures_of(stored, changed))
    update_rows(connection, "business_leads", changed, key=_LEAD_KEY, set_now="updated_at")
    if reopened.height:
        copy_to_temp_table(connection, "business_leads", reopened.select("lead_id"), name="reopened_leads")
        connection.execute(
            sa.text(
                "UPDATE business_leads l SET current_stage = 'OPEN', reopened_at = now(), updated_at = now(),"
                " reopen_count = reopen_count + 1 FROM reopened_leads r WHERE l.lead_id = r.lead_id"
            )
        )
    attached = plan.attached.join(leads, on="lead_id", how="semi")
    rows = attached.sort("raw_id").select(*ORDER_KEY, "lead_id", "strategy", batch_id=pl.lit(batch.batch_id))
    copy_rows(connection, "lead_orders", rows)


def _transaction_time(connection: sa.Connection) -> object:
    return connection.execute(sa.text("SELECT now()")).scalar_one()

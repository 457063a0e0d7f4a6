"""Leads that users deleted, and those that reverts took orders out of: the past that the rules of leads look at.

Both are rare; one statement tells whether there are any. What follows from them is decided in `leads.transform` and
`leads.step`.
"""

from __future__ import annotations

from typing import Final

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.orders.transform import ORDER_KEY


def read_past(
    connection: sa.Connection, customers: pl.Series, free: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Read deleted leads of the customers, and former leads of the orders that are free, so far as there are any."""
    has_deleted, has_reverted = connection.execute(sa.text(_HAS_PAST)).one()
    former = _former_leads(connection, free) if has_reverted and free.height else None
    if not has_deleted:
        return pl.DataFrame(schema=_DELETED_SCHEMA), former
    return _deleted_leads(connection, customers), former


_HAS_PAST: Final = """
    SELECT EXISTS (SELECT FROM deleted_leads), EXISTS (SELECT FROM detached_orders WHERE reason = 'reverted')
"""
_DELETED_SCHEMA: Final = {"lead_id": pl.String(), "customer_global_id": pl.String()}


def _deleted_leads(connection: sa.Connection, customers: pl.Series) -> pl.DataFrame:
    """Read the leads of the customers that were deleted by hand: `lead_id`, `customer_global_id`."""
    keys = customers.alias("customer_global_id").to_frame()
    copy_to_temp_table(connection, "deleted_leads", keys, name="lead_customers")
    return fetch_frame(
        connection,
        "SELECT lead_id, customer_global_id FROM deleted_leads JOIN lead_customers USING (customer_global_id)",
        _DELETED_SCHEMA,
    )


def clear_tombstones(connection: sa.Connection, deleted: pl.DataFrame) -> None:
    """Take leads that exist again off the list of deleted ones."""
    if deleted.height:
        connection.execute(sa.text("DELETE FROM deleted_leads d USING business_leads l WHERE l.lead_id = d.lead_id"))


def _former_leads(connection: sa.Connection, orders: pl.DataFrame) -> pl.DataFrame:
    """Read the lead that a revert took each order out of last: `ORDER_KEY`, `lead_id`, `strategy`."""
    copy_to_temp_table(connection, "orders", orders.select(ORDER_KEY), name="free_orders")
    schema = {"shop_id": pl.Int32(), "order_id": pl.String(), "lead_id": pl.String(), "strategy": pl.String()}
    return fetch_frame(connection, _FORMER, schema)


_FORMER: Final = """
    SELECT DISTINCT ON (shop_id, order_id) shop_id, order_id, d.lead_id, d.strategy
    FROM free_orders JOIN detached_orders d USING (shop_id, order_id)
    WHERE d.reason = 'reverted' ORDER BY shop_id, order_id, d.departure_id DESC
"""

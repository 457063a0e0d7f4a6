"""The rules of customers (design §4): pure functions from orders to customers. Reading and writing is in `step`."""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.frame_schemas import CUSTOMER_SCHEMA
from etl_assets.values.identifiers import customer_key
from etl_assets.values.timestamps import TIMESTAMP_UTC

CUSTOMER_ORDER_SCHEMA: Final = {
    "customer_global_id": pl.String(),
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "customer_nickname": pl.String(),
    "is_cancelled": pl.Boolean(),
    "ordered_at": TIMESTAMP_UTC,
    "raw_id": pl.Int64(),
}


def summarise_customers(orders: pl.DataFrame, shops: pl.DataFrame) -> pl.DataFrame:
    """Return the customers that orders name, with their figures; cancelled orders make a customer but are not counted.

    Args:
        orders: all orders of the customers in question (`CUSTOMER_ORDER_SCHEMA`).
        shops: `shop_id`, `platform`, `shop_name`.

    Returns:
        `CUSTOMER_SCHEMA`, `raw_id` and `order_id` (of the customer's latest row), sorted by id.
    """
    counted = ~pl.col("is_cancelled")
    return (
        orders.group_by("customer_global_id")
        .agg(
            pl.col("shop_id", "customer_nickname").first(),
            first_order_at=pl.col("ordered_at").filter(counted).min(),
            last_order_at=pl.col("ordered_at").filter(counted).max(),
            order_count=counted.sum().cast(pl.Int32),
            raw_id=pl.col("raw_id").max(),
            order_id=pl.col("order_id").sort_by("raw_id").last(),
        )
        .join(shops.select("shop_id", "platform", "shop_name"), on="shop_id", how="left")
        .with_columns(customer_key=customer_key(pl.col("platform"), pl.col("shop_name"), pl.col("customer_nickname")))
        .select(*CUSTOMER_SCHEMA, "raw_id", "order_id")
        .sort("customer_global_id")
    )


def without_orders(customers: pl.DataFrame) -> pl.DataFrame:
    """Return the customers (`CUSTOMER_SCHEMA`) as they are once they have no order left."""
    return customers.with_columns(
        first_order_at=pl.lit(None, TIMESTAMP_UTC),
        last_order_at=pl.lit(None, TIMESTAMP_UTC),
        order_count=pl.lit(0, pl.Int32),
    )

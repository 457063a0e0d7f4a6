"""Key of the order that a raw row belongs to: its shop's id and its own order id, cleaned.

Apart from the rules of `orders`, as the engine names the order of a row by it that no rule could read.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.values.text import clean_text

RAW_SHOP: Final = ("platform", "shop")


def order_keys(raw: pl.DataFrame, shops: pl.DataFrame) -> pl.DataFrame:
    """Return the key of the order of each raw row (`raw_id`, `platform`, `shop`, `order_id`), null if it has none."""
    named = raw.join(shops_by_raw_name(raw, shops), on=RAW_SHOP, how="left", nulls_equal=True, maintain_order="left")
    return named.select("raw_id", "shop_id", order_id=clean_text(pl.col("order_id")))


def shops_by_raw_name(raw: pl.DataFrame, shops: pl.DataFrame) -> pl.DataFrame:
    """Return the shop of each distinct `platform` and `shop` of the raw rows: there are few of them."""
    cleaned = (
        raw.select(RAW_SHOP)
        .unique()
        .with_columns(platform_name=clean_text(pl.col("platform")), shop_name=clean_text(pl.col("shop")))
    )
    known = shops.select("shop_id", "shop_name", "timezone", "default_currency", platform_name="platform")
    return cleaned.join(known, on=["platform_name", "shop_name"], how="left")

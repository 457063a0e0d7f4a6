"""Items of an order whose export names titles in one cell, and beside them how many kinds and pieces it has.

Hazard: a title may hold every character that separates items elsewhere, and a quantity that no column gives would be
invented: 50 pieces of one product with two commas in its title once became three items. So nothing is split: the order
has one line with all its pieces, until an export with a row per item names the lines (docs/decisions.md, "Titles with
counts").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from etl_assets.raw_orders.json_text import json_object
from etl_assets.values.numbers import parse_quantity
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from etl_assets.raw_orders.readers.columns import ReaderFinding
    from etl_assets.values.numbers import NumberFormat


def with_counted_titles(
    raw: pl.DataFrame, counts: pl.DataFrame, numbers: NumberFormat, found: list[ReaderFinding] | None = None
) -> pl.DataFrame:
    """Make one item of the titles of each order that has counts.

    Args:
        raw: raw orders, `items` holding titles.
        counts: `kinds` and `pieces` of each, text.
        numbers: the notation of the export.
        found: gets a finding if lines stand for several products.
    """
    known = counts.with_columns(number=parse_quantity(pl.col("kinds"), numbers))
    titled = raw.select("row_no", "items").hstack(known)
    has_pieces, has_title = pl.col("pieces").is_not_null(), pl.col("items").is_not_null()
    is_combined = has_title & has_pieces & (pl.col("number") > 1)
    variant = pl.when(pl.col("number") > 1).then(pl.format("{} kinds", clean_text(pl.col("kinds"))))
    item = json_object({"name": pl.col("items"), "variant": variant, "quantity": pl.col("pieces")})
    decided = titled.select(
        "row_no",
        items=pl.when(has_title & (has_pieces | (pl.col("number") == 1))).then("[" + item + "]").otherwise("items"),
        is_combined=is_combined.fill_null(value=False),
    )
    combined = decided.filter("is_combined")["row_no"]
    if found is not None and combined.len():
        found.append(("COMBINED_ITEMS", "", combined.len(), combined.item(0)))
    return raw.with_columns(decided["items"])

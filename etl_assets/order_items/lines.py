"""Lines of items while they are text, and their cleaning into values: the last step of every way to read items.

The ways are `usual_json` and, in `transform`, other JSON and free text. Patterns of free text are in `grammar`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.order_items.json_arrays import NUL
from etl_assets.values.numbers import NumberFormat, parse_money, parse_quantity, whole_number
from etl_assets.values.text import clean_text, is_not_blank

MAX_LINES: Final = 10_000
"""Most lines that an order may have: no platform's order has a tenth of it, and a text with more is no order's."""
TEXTS: Final = ("name", "variant", "sku", "quantity", "unit_price")
RAW_LINES: Final = ("row", "line_no", "is_object", *TEXTS, "processes", "personalisation")
"""Columns of lines as text; `processes` is JSON or free text that `read_processes` reads."""
READ: Final = ("processes", "personalisation", "product", "variant", "sku", "quantity", "unit_price", "fault")
"""Columns of lines as values, with `fault`: the reason that a line can't be read, or null."""


def as_json(value: pl.Expr) -> pl.Expr:
    """Return a decoded value as JSON text again, null where it is."""
    text = pl.struct(value.alias("v")).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
    return pl.when(value.is_not_null()).then(text)


def as_written(text: pl.Expr) -> pl.Expr:
    """Return a text for production as the buyer wrote it: ``①`` stays ``①``; blanks around it do not count."""
    stripped = text.str.strip_chars()
    return pl.when(stripped != "").then(stripped)


def clean_lines(lines: pl.DataFrame, numbers: NumberFormat) -> pl.DataFrame:
    """Clean and parse the columns of `RAW_LINES` into ``row``, ``line_no`` and `READ`."""
    personalisation = as_written(pl.col("personalisation"))
    read = pl.concat(
        [
            lines.select("row", "line_no", "processes", "is_object", personalisation=personalisation),
            _by_value(lines, "name", product=clean_text(pl.col("name")), nul_1=_holds_nul("name")),
            _by_value(lines, "variant", variant=clean_text(pl.col("variant")), nul_2=_holds_nul("variant")),
            _by_value(lines, "sku", sku=clean_text(pl.col("sku")), nul_3=_holds_nul("sku")),
            _by_value(
                lines,
                "quantity",
                quantity=pl.when(is_not_blank(pl.col("quantity")))
                .then(whole_number(parse_quantity(pl.col("quantity"), numbers)))
                .otherwise(1),
            ),
            _by_value(
                lines,
                "unit_price",
                unit_price=parse_money(pl.col("unit_price"), numbers),
                has_price=is_not_blank(pl.col("unit_price")),
            ),
        ],
        how="horizontal",
    )
    nul_elsewhere = _holds_nul("processes") | _holds_nul("personalisation")
    faults = (
        (~pl.col("is_object"), "is not an object"),
        (pl.col("nul_1") | pl.col("nul_2") | pl.col("nul_3") | nul_elsewhere, "holds a NUL character"),
        (pl.col("product").is_null() & pl.col("sku").is_null(), "has neither a name nor a sku"),
        (pl.col("quantity").is_null(), "has a quantity that is not a whole number in range"),
        (pl.col("has_price") & pl.col("unit_price").is_null(), "has a unit_price that is not an amount in range"),
    )
    fault = pl.coalesce(*(pl.when(wrong).then(pl.lit(text)) for wrong, text in faults))
    return read.with_columns(fault=fault).select("row", "line_no", *READ)


def _by_value(lines: pl.DataFrame, column: str, **read: pl.Expr) -> pl.DataFrame:
    """Compute columns from one text column, once per distinct value: lines repeat names, skus and prices a lot."""
    values = lines.select(pl.col(column).unique()).with_columns(pl.col(column).alias("key"), **read)
    joined = lines.select(pl.col(column).alias("key")).join(
        values, on="key", how="left", maintain_order="left", nulls_equal=True
    )
    return joined.select(read.keys())


def _holds_nul(column: str) -> pl.Expr:
    return pl.col(column).str.contains(NUL, literal=True).fill_null(value=False)

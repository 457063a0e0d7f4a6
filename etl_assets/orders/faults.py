"""Faults of raw rows: the reason code of a row that is no version of an order, and the text that names all its faults.

Texts name the column and the shape of its value, never the value. The code is computed for every row, the text for
rejected rows only. What the good rows say is in `orders.transform`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.frame_schemas import CONFLICTING_ORDER
from etl_assets.quarantine.reasons import REASONS, SHARED_BY_SHOPS, SHOP_NOT_MADE
from etl_assets.values.numbers import is_rounded_number
from etl_assets.values.shapes import value_shape
from etl_assets.values.text import MAX_KEY_BYTES, clean_text
from etl_assets.values.timestamps import has_timestamp
from etl_assets.values.unreadable_parts import place_of, text_of

if TYPE_CHECKING:
    from collections.abc import Collection

_TOO_LONG: Final = f": longer than {MAX_KEY_BYTES} bytes, the most that an index can hold."
_DEFECT: Final = pl.col("defect")


def has_defect(code: str) -> pl.Expr:
    """Test that the row was landed with this defect; several are separated by blanks."""
    return _DEFECT.str.contains(code, literal=True)


def reason_code() -> pl.Expr:
    """Return the first reason code that applies; null where the row is good."""
    bad_time = pl.any_horizontal(_is_bad_time(column) for column in _TIMES)
    return (
        pl.when(has_defect("BAD_TEXT") | pl.col("too_long").is_not_null()).then(pl.lit("BAD_TEXT"))
        .when(is_rounded_number(pl.col("key"))).then(pl.lit("ROUNDED_ORDER_ID"))
        .when(has_defect(CONFLICTING_ORDER)).then(pl.lit(CONFLICTING_ORDER))
        .when(pl.col("shop_id").is_null()).then(pl.lit("MISSING_SHOP"))
        .when(pl.col("key").is_null()).then(pl.lit("MISSING_ORDER_ID"))
        .when(pl.any_horizontal(_is_bad_amount(column) for column in _AMOUNTS)).then(pl.lit("BAD_AMOUNT"))
        .when(bad_time).then(pl.lit("BAD_TIMESTAMP"))
    )  # fmt: skip


def reason(computed: Collection[str] = ()) -> pl.Expr:
    """Return the text that names all faults of a rejected row, in the order of `REASONS`.

    Args:
        computed: columns of amounts that the mapping computes (`Preset.summed_columns`).
    """
    faults = (
        pl.when(has_defect("BAD_TEXT")).then(pl.lit(REASONS["BAD_TEXT"])),
        pl.when(pl.col("too_long").is_not_null()).then(pl.col("too_long") + _TOO_LONG),
        pl.when(is_rounded_number(pl.col("key"))).then(_looks_like("order_id", "ROUNDED_ORDER_ID")),
        pl.when(has_defect(CONFLICTING_ORDER)).then(
            pl.when(pl.col("platform_order_id").is_null())
            .then(pl.lit(SHARED_BY_SHOPS))
            .otherwise(pl.lit(f"platform_order_id: {REASONS[CONFLICTING_ORDER]}"))
        ),
        *(
            pl.when(pl.col(name).is_null()).then(pl.lit(f"{column}: {REASONS['MISSING_SHOP']}"))
            for column, name in (("platform", "platform_name"), ("shop", "shop_name"))
        ),
        pl.when(
            pl.col("shop_id").is_null()
            & pl.all_horizontal(pl.col("platform_name", "shop_name").is_not_null())
            & pl.col("too_long").is_null()
        ).then(pl.lit(SHOP_NOT_MADE)),
        pl.when(pl.col("key").is_null()).then(pl.lit(f"order_id: {REASONS['MISSING_ORDER_ID']}")),
        *(
            pl.when(_is_bad_amount(column)).then(
                _part_looks_like(column) if column in computed else _looks_like(column, "BAD_AMOUNT")
            )
            for column in _AMOUNTS
        ),
        *(pl.when(_is_bad_time(column)).then(_looks_like(column, "BAD_TIMESTAMP")) for column in _TIMES),
    )
    return pl.concat_str(faults, separator=" ", ignore_nulls=True)


_AMOUNTS: Final = {"amount": "money", "refunded_amount": "refunded"}
"""Columns of amounts, and the columns with the numbers that were read."""
_TIMES: Final = {"ordered_at": "ordered", "updated_at": "updated"}
"""Columns of times, and the columns with the instants that were read."""


def _is_bad_time(column: str) -> pl.Expr:
    return has_timestamp(pl.col(column)) & pl.col(_TIMES[column]).is_null()


def _is_bad_amount(column: str) -> pl.Expr:
    return clean_text(pl.col(column)).is_not_null() & pl.col(_AMOUNTS[column]).is_null()


def _part_looks_like(column: str) -> pl.Expr:
    """Name the part of a sum that can't be read, where one is to blame."""
    text = clean_text(pl.col(column))
    in_part = pl.format(
        f"{column} ({{}}) looks like {{}}: {REASONS['BAD_AMOUNT']}", place_of(text), value_shape(text_of(text))
    )
    return pl.coalesce(in_part, _looks_like(column, "BAD_AMOUNT"))


def _looks_like(column: str, code: str) -> pl.Expr:
    return pl.format(f"{column} looks like {{}}: {REASONS[code]}", value_shape(clean_text(pl.col(column))))

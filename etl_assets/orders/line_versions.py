"""The rules of the lines part of orders, whose versions are rows of files of lines (`holds: lines`): pure functions.

The newest version of each part counts, whichever part came first (docs/decisions.md, "Lines from another file").
Reading and writing tables is in `orders.load_lines`; what the items say is a rule of `order_items`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.orders.faults import reason, reason_code
from etl_assets.orders.transform import ORDER_KEY, VERSION, is_older_than_stored, too_long
from etl_assets.values.numbers import MONEY
from etl_assets.values.order_keys import RAW_SHOP, shops_by_raw_name
from etl_assets.values.text import clean_text
from etl_assets.values.timestamps import TIMESTAMP_UTC, parse_timestamps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.presets.model import Preset

LINE_VERSION_SCHEMA: Final = {
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "raw_id": pl.Int64(),
    "source_updated_at": TIMESTAMP_UTC,
}
STORED_LINES_SCHEMA: Final = {**LINE_VERSION_SCHEMA, "latest_raw_id": pl.Int64()}
"""Columns of `line_versions`; `latest_raw_id` is the last good row, the newest version or not."""
_NOT_OF_LINES: Final = {
    **dict.fromkeys(("amount", "refunded_amount", "ordered_at", "platform_order_id", "type"), pl.String()),
    **dict.fromkeys(("money", "refunded"), MONEY),
    "ordered": TIMESTAMP_UTC,
}
"""Values of the order part, in which a row of lines has no faults."""


class LineRows(NamedTuple):
    """Rows of files of lines."""

    versions: pl.DataFrame
    """The good rows (`LINE_VERSION_SCHEMA`)."""
    rejected: pl.DataFrame
    """The bad rows (`REJECTED_SCHEMA`)."""


NO_LINE_ROWS: Final = LineRows(pl.DataFrame(schema=LINE_VERSION_SCHEMA), pl.DataFrame(schema=REJECTED_SCHEMA))


def join_line_rows(parts: Sequence[LineRows]) -> LineRows:
    """Join the rows of several presets."""
    return LineRows(*(pl.concat([none, *found]) for none, *found in zip(NO_LINE_ROWS, *parts, strict=True)))


def read_line_versions(raw: pl.DataFrame, preset: Preset, shops: pl.DataFrame) -> LineRows:
    """Read raw rows of lines as versions; together one row per raw row.

    Times are read in the time zone of the mapping: they are compared with each other only, and the settings of the shop
    may not be known yet.

    Args:
        raw: as for `orders.transform.read_orders`.
        preset: how the texts are to be read.
        shops: `shop_id`, `platform`, `shop_name`, `timezone`, `default_currency`.
    """
    named = raw.join(shops_by_raw_name(raw, shops), on=RAW_SHOP, how="left", nulls_equal=True, maintain_order="left")
    zones = pl.Series([preset.timezone], dtype=pl.String).new_from_index(0, named.height)
    values = named.with_columns(
        *(pl.lit(None, dtype).alias(name) for name, dtype in _NOT_OF_LINES.items()),
        key=clean_text(pl.col("order_id")),
        updated=parse_timestamps(named["updated_at"], zones, preset.time_formats, preset.known_year),
    )
    values = values.with_columns(too_long=too_long()).with_columns(code=reason_code())
    good = values.filter(pl.col("code").is_null())
    rejected = values.filter(pl.col("code").is_not_null())
    return LineRows(
        good.select("shop_id", "raw_id", order_id="key", source_updated_at="updated").select(*LINE_VERSION_SCHEMA),
        rejected.select("raw_id", "shop_id", order_id="key", reason_code="code", reason=reason()),
    )


def newest_line_versions(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the newest version of each order's lines (`STORED_LINES_SCHEMA`), with the last row among them."""
    latest = pl.col("raw_id").max().over(ORDER_KEY).alias("latest_raw_id")
    ordered = versions.with_columns(latest).sort(*VERSION, nulls_last=False)
    return ordered.unique(ORDER_KEY, keep="last", maintain_order=True).select(*STORED_LINES_SCHEMA)


def same_lines() -> pl.Expr:
    """Test that an order has these lines already: the text is the same, and read by the same mapping."""
    same = pl.col("is_same_text") & pl.col("mapping").eq_missing(pl.col("mapping_stored"))
    return same.fill_null(value=False)


def compare_line_versions(newest: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Decide which version counts, of each order the newest of a batch or the stored one.

    Args:
        newest: as `newest_line_versions` returns them.
        stored: those of these orders that are stored (`STORED_LINES_SCHEMA`).

    Returns:
        For each order of `newest` the row to store (`STORED_LINES_SCHEMA`), with `is_current`: it is the batch's; and
        `differs`: it is not stored like this.
    """
    both = newest.join(stored, on=ORDER_KEY, how="left", suffix="_stored", maintain_order="left")
    is_current = pl.col("raw_id_stored").is_null() | ~is_older_than_stored()
    decided = both.with_columns(is_current=is_current.fill_null(value=True)).with_columns(
        pl.when("is_current").then(pl.col(name)).otherwise(f"{name}_stored").alias(name)
        for name in ("raw_id", "source_updated_at")
    )
    latest = pl.max_horizontal("latest_raw_id", "latest_raw_id_stored")
    values = [name for name in STORED_LINES_SCHEMA if name not in ORDER_KEY]
    return decided.with_columns(latest.alias("latest_raw_id")).select(
        *STORED_LINES_SCHEMA,
        "is_current",
        differs=pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_stored")) for name in values),
    )

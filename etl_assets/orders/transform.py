"""The rules of orders (design §4): pure functions from raw rows to orders, their versions and their defects.

Reading and writing tables is in `orders.step` and the modules that it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.orders.faults import reason, reason_code
from etl_assets.values.currencies import currency_codes
from etl_assets.values.identifiers import customer_global_id, customer_key
from etl_assets.values.numbers import MONEY, parse_money
from etl_assets.values.order_keys import RAW_SHOP, shops_by_raw_name
from etl_assets.values.text import clean_name, clean_text, fits_an_index, normalize_case_str
from etl_assets.values.timestamps import TIMESTAMP_UTC, parse_timestamps

if TYPE_CHECKING:
    from etl_assets.presets.model import Preset

ORDER_KEY: Final = ("shop_id", "order_id")

ORDER_VALUES: Final = {
    "customer_nickname": pl.String(),
    "customer_global_id": pl.String(),
    "latest_status": pl.String(),
    "is_cancelled": pl.Boolean(),
    "order_type": pl.String(),
    "system_order_type": pl.String(),
    "amount": MONEY,
    "refunded_amount": MONEY,
    "currency": pl.String(),
    "ordered_at": TIMESTAMP_UTC,
    "source_updated_at": TIMESTAMP_UTC,
}
"""Values of an order: two versions of it differ if any of these does."""

CUSTOMER_VALUES: Final = (
    "customer_nickname", "customer_global_id", "is_cancelled", "system_order_type", "amount", "refunded_amount",
    "currency", "ordered_at",
)  # fmt: skip
"""Values of an order that customers and leads are made of."""

LOSSES: Final = ("loses_customer", "loses_amount", "loses_time", "leaves_lead")
"""Losses of a stored order by a new version: a value that was there, or its place in the lead of its customer."""

IDENTITY: Final = "platform_order_id"
"""The platform's own id of the order. No value: once an order has one it keeps it (`orders.conflicts`)."""

ORDER_SCHEMA: Final = {
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "raw_id": pl.Int64(),
    IDENTITY: pl.String(),
    **ORDER_VALUES,
}

VERSION: Final = ("source_updated_at", "raw_id")
"""Total order of the versions of an order; a missing time is before any."""

_KEYS: Final = {
    "platform and shop together": ("platform_name", "shop_name"),
    "order_id": ("key",),
    "order_type": ("type",),
}
"""Index entries of a row, and the columns of each: one beyond `MAX_KEY_BYTES` is `BAD_TEXT`."""


def read_orders(
    raw: pl.DataFrame, preset: Preset, shops: pl.DataFrame, order_types: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read raw rows as versions of orders.

    Args:
        raw: `raw_id`, `defect` and the text columns of `raw_orders`, of imports with one preset.
        preset: how the texts are to be read.
        shops: `shop_id`, `platform`, `shop_name`, `timezone`, `default_currency`.
        order_types: `order_type` (as in `raw`), `system_order_type`.

    Returns:
        The good versions (`ORDER_SCHEMA`) and the rejected rows (`REJECTED_SCHEMA`); together one row per raw row.
    """
    named = raw.join(shops_by_raw_name(raw, shops), on=RAW_SHOP, how="left", nulls_equal=True, maintain_order="left")
    zones = named["timezone"].fill_null(preset.timezone)  # of rows without a shop: their times are no fault
    values = named.with_columns(
        key=clean_text(pl.col("order_id")),
        ordered=parse_timestamps(named["ordered_at"], zones, preset.time_formats, preset.known_year),
        updated=parse_timestamps(named["updated_at"], zones, preset.time_formats, preset.known_year),
        code_of_currency=currency_codes(
            named["currency"], named["amount"], named["default_currency"], preset.currency_symbols
        ),
        money=parse_money(pl.col("amount"), preset.numbers),
        refunded=_read_refunds(named["refunded_amount"], preset),
        nickname=clean_name(pl.col("customer_name")),
        status=clean_text(pl.col("order_status")),
        type=clean_text(pl.col("order_type")),
    )
    values = values.with_columns(too_long=too_long()).with_columns(code=reason_code())
    cancelled = pl.Series([normalize_case_str(status) for status in preset.cancelled_statuses], dtype=pl.String)
    good = (
        values.filter(pl.col("code").is_null())
        .join(order_types, on="order_type", how="left", nulls_equal=True, maintain_order="left")
        .select(
            "shop_id",
            "raw_id",
            clean_text(pl.col(IDENTITY)),
            order_id="key",
            customer_nickname="nickname",
            customer_global_id=customer_global_id(
                customer_key(pl.col("platform_name"), pl.col("shop_name"), pl.col("nickname"))
            ),
            latest_status="status",
            is_cancelled=pl.col("status").str.to_lowercase().is_in(cancelled.implode()).fill_null(value=False),
            order_type="type",
            system_order_type="system_order_type",
            amount="money",
            refunded_amount="refunded",
            currency="code_of_currency",
            ordered_at="ordered",
            source_updated_at="updated",
        )
    )
    rejected = values.filter(pl.col("code").is_not_null()).select(
        "raw_id",
        "shop_id",
        order_id="key",
        reason_code="code",
        reason=reason(preset.summed_columns),
    )
    return good.select(*ORDER_SCHEMA), rejected.select(*REJECTED_SCHEMA)


def _read_refunds(texts: pl.Series, preset: Preset) -> pl.Expr:
    """Read refunds; most exports have none, and reading nothing would take as long as reading amounts."""
    is_empty = texts.null_count() == texts.len()
    return pl.lit(None, MONEY) if is_empty else parse_money(pl.col("refunded_amount"), preset.numbers)


def newest_versions(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the newest version of each order (`ORDER_SCHEMA`)."""
    ordered = versions.sort(*VERSION, nulls_last=False)
    return ordered.unique(ORDER_KEY, keep="last", maintain_order=True).select(*ORDER_SCHEMA)


_BEFORE_ANY_TIME: Final = -(1 << 63)


def is_older_than_stored() -> pl.Expr:
    """Test that a version is older than the stored one of its order (`raw_id_stored`, `source_updated_at_stored`).

    A row that is read again with other rules or in another zone is the same version, whatever its time is now.
    """
    # As integers: no timestamp is before all others, not even the year 1, which exports do name.
    new_time = pl.col("source_updated_at").to_physical().fill_null(_BEFORE_ANY_TIME)
    old_time = pl.col("source_updated_at_stored").to_physical().fill_null(_BEFORE_ANY_TIME)
    is_same = pl.col("raw_id") == pl.col("raw_id_stored")
    is_earlier = (new_time == old_time) & (pl.col("raw_id") < pl.col("raw_id_stored"))
    return ~is_same & ((new_time < old_time) | is_earlier)


def compare_with_stored(newest: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Decide the `change` of each order.

    Args:
        newest: `ORDER_SCHEMA`, one version per order.
        stored: the stored versions of these orders, `ORDER_SCHEMA`, and `lines_differ`: whether the raw items or
            processes of the two versions differ.

    Returns:
        `newest` with `change` (inserted, updated, unchanged or superseded), `stored_raw_id`, `stored_customer`,
        `lines_differ` (these are null for an order that is not stored), `customer_differs`: whether any of
        `CUSTOMER_VALUES` does, `names_identity`: whether the stored order gets the platform's id from this version,
        and `LOSSES`.
    """
    both = newest.join(stored, on=ORDER_KEY, how="left", suffix="_stored", maintain_order="left")
    is_known = pl.col("raw_id_stored").is_not_null()
    differing = {name: pl.col(name).ne_missing(pl.col(f"{name}_stored")) for name in ORDER_VALUES}
    differs = pl.any_horizontal(pl.col("lines_differ"), *differing.values())
    change = (
        pl.when(~is_known).then(pl.lit("inserted"))
        .when(is_older_than_stored()).then(pl.lit("superseded"))
        .when(differs).then(pl.lit("updated"))
        .otherwise(pl.lit("unchanged"))
    )  # fmt: skip
    identity_stored = pl.col(f"{IDENTITY}_stored")
    return both.with_columns(pl.coalesce(identity_stored, IDENTITY).alias(IDENTITY)).select(
        *ORDER_SCHEMA,
        change=change,
        stored_raw_id="raw_id_stored",
        stored_customer="customer_global_id_stored",
        lines_differ="lines_differ",
        customer_differs=pl.any_horizontal(differing[name] for name in CUSTOMER_VALUES),
        names_identity=is_known & identity_stored.is_null() & pl.col(IDENTITY).is_not_null(),
        loses_customer=_loses("customer_global_id"),
        loses_amount=_loses("amount"),
        loses_time=_loses("ordered_at"),
        leaves_lead=pl.col("customer_global_id_stored").is_not_null()
        & ~pl.col("is_cancelled_stored")
        & (pl.col("is_cancelled") | differing["customer_global_id"]),
    )


def _loses(column: str) -> pl.Expr:
    return pl.col(f"{column}_stored").is_not_null() & pl.col(column).is_null()


def compare_anew(newest: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Decide the `change` of orders that are decided anew from all their versions: what is stored counts for nothing.

    The raw row must be the newest even among versions that say the same: the stored one may be reverted.

    Args:
        newest: `ORDER_SCHEMA` and `lines_raw_id`, one version per order.
        stored: these orders as they are stored (the same columns), so far as they are.

    Returns:
        `newest` with `change` (inserted, updated or unchanged), `stored_raw_id` and `stored_customer`.
    """
    both = newest.join(stored, on=ORDER_KEY, how="left", suffix="_stored", maintain_order="left")
    differs = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}_stored")) for name in newest.columns if name not in ORDER_KEY
    )
    change = (
        pl.when(pl.col("raw_id_stored").is_null()).then(pl.lit("inserted"))
        .when(differs).then(pl.lit("updated"))
        .otherwise(pl.lit("unchanged"))
    )  # fmt: skip
    return both.select(
        *newest.columns, change=change, stored_raw_id="raw_id_stored", stored_customer="customer_global_id_stored"
    )


def too_long() -> pl.Expr:
    """Name the entry of a row that no index can hold; null for nearly every row."""
    return pl.coalesce(
        pl.when(~fits_an_index(*map(pl.col, columns))).then(pl.lit(named)) for named, columns in _KEYS.items()
    )

"""Versions of different orders under one order number, told apart by the platform's own id (`platform_order_id`).

The hazard is a merge: two shops exported under one name have the same order numbers. Within an import such rows are
marked as they land (`raw_orders.shared_numbers`). Across imports the order that came first keeps the number, and the
newcomer is rejected; a version without an id belongs to the order of its number, whichever that is.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.frame_schemas import CONFLICTING_ORDER, REJECTED_SCHEMA
from etl_assets.orders.transform import IDENTITY, ORDER_KEY

OTHER_ORDER_STORED: Final = (
    "platform_order_id: another order has this number in this shop, with another id of the platform, and came first."
    " If this one is of another shop, import its file under that shop's name (--shop, or a shop.txt in its folder of"
    " the inbox), then dismiss this row."
)
_FIRST: Final = "first_identity"
_STORED: Final = "stored_identity"


def split_conflicts(
    versions: pl.DataFrame, newest: pl.DataFrame, stored: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split versions into those of the order that their number belongs to, and those of other orders.

    A number belongs to the id that its stored order has; else to the first that a version names, by raw_id.

    Args:
        versions: good rows of a batch (`ORDER_SCHEMA`).
        newest: the newest of each order, as `newest_versions` returns them: tells whether numbers repeat.
        stored: the stored versions of these orders.
    """
    known = versions.filter(pl.col(IDENTITY).is_not_null())
    if known.is_empty():
        return versions, known
    if versions.height > newest.height:
        known = known.join(first_identities(versions), on=ORDER_KEY, how="left", maintain_order="left")
    else:
        known = known.with_columns(pl.col(IDENTITY).alias(_FIRST))
    kept = stored.filter(pl.col(IDENTITY).is_not_null()).select(*ORDER_KEY, pl.col(IDENTITY).alias(_STORED))
    both = known.join(kept, on=ORDER_KEY, how="left", maintain_order="left")
    others = both.filter(pl.col(IDENTITY) != pl.coalesce(_STORED, _FIRST)).select(versions.columns)
    if others.is_empty():
        return versions, others
    return versions.join(others, on="raw_id", how="anti", maintain_order="left"), others


def first_identities(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the id that the first version of each order names, by raw_id: `ORDER_KEY`, `first_identity`."""
    known = versions.filter(pl.col(IDENTITY).is_not_null()).sort("raw_id")
    return known.unique(ORDER_KEY, keep="first", maintain_order=True).select(*ORDER_KEY, pl.col(IDENTITY).alias(_FIRST))


def with_known_identity(newest: pl.DataFrame, versions: pl.DataFrame) -> pl.DataFrame:
    """Give each newest version the id that any version of its order names; `split_conflicts` has left only one."""
    if versions.height == newest.height or versions[IDENTITY].null_count() in {0, versions.height}:
        return newest
    known = newest.join(first_identities(versions), on=ORDER_KEY, how="left", maintain_order="left")
    return known.with_columns(pl.coalesce(IDENTITY, _FIRST).alias(IDENTITY)).drop(_FIRST)


def reject_conflicts(others: pl.DataFrame) -> pl.DataFrame:
    """Return versions of other orders as rejected rows (`REJECTED_SCHEMA`)."""
    return others.select(
        "raw_id", *ORDER_KEY, reason_code=pl.lit(CONFLICTING_ORDER), reason=pl.lit(OTHER_ORDER_STORED)
    ).select(*REJECTED_SCHEMA)

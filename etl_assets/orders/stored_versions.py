"""The stored versions of the orders of a batch, read with as few look-ups as possible.

Saves look-ups, in three ways (docs/performance.md, "Gain of each optimisation"):

- Order ids mostly grow, so an id beyond the last one of its shop is new: stored orders of a first load of a million
  took 1.8 s before, and nothing since. Ids are compared as bytes, by Polars and by the server (`COLLATE "C"`).
- Known orders are looked up key by key: the planner reads the whole table as soon as a batch is a tenth of it.
- Raw rows lie in the order of their ids: bounds let the server read a part of them in order. With both, a million
  orders imported again took 12.9 and 13.9 s instead of 14.4 and 14.9 s.

The comparison of versions is a rule (`orders.transform`) and not here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.database.frames import fetch_frame, look_up
from etl_assets.orders.transform import ORDER_KEY, ORDER_SCHEMA

if TYPE_CHECKING:
    import sqlalchemy as sa


def read_stored_versions(connection: sa.Connection, newest: pl.DataFrame) -> pl.DataFrame:
    """Read the stored versions of orders, with `lines_differ`: whether the raw lines of the two versions differ.

    Args:
        connection: the batch's transaction.
        newest: the versions to compare with (`ORDER_SCHEMA`), one for each order.
    """
    stored = read_stored_orders(connection, newest)
    if stored.is_empty():
        return stored.with_columns(lines_differ=pl.lit(None, pl.Boolean))
    both = newest.select(*ORDER_KEY, "raw_id").join(stored, on=ORDER_KEY, suffix="_stored")
    differing = _with_other_lines(connection, both.select("raw_id", stored_raw_id="raw_id_stored"))
    return stored.with_columns(lines_differ=pl.col("raw_id").is_in(differing.implode()))


def read_stored_orders(connection: sa.Connection, newest: pl.DataFrame) -> pl.DataFrame:
    """Read the stored versions of orders (`ORDER_SCHEMA`), without their lines."""
    last = fetch_frame(connection, _LAST_OF_SHOPS, {"shop_id": pl.Int32(), "last_id": pl.String()})
    is_within = pl.col("order_id") <= pl.col("last_id")
    known = newest.join(last, on="shop_id", maintain_order="left").filter(is_within)
    if known.is_empty():
        return pl.DataFrame(schema=ORDER_SCHEMA)
    return look_up(connection, _STORED, ORDER_SCHEMA, keys=known.select(ORDER_KEY), like="orders", name="known_orders")


def _with_other_lines(connection: sa.Connection, versions: pl.DataFrame) -> pl.Series:
    """Return the `stored_raw_id` of those pairs (`raw_id`, `stored_raw_id`) whose raw items or processes differ."""
    others = versions.filter(pl.col("raw_id") != pl.col("stored_raw_id"))
    if others.is_empty():
        return others["stored_raw_id"]
    (low, stored_low), (high, stored_high) = others.min().row(0), others.max().row(0)
    differing = look_up(
        connection,
        "SELECT v.stored_raw_id FROM version_pairs v"  # noqa: S608  # integers only
        f" JOIN raw_orders n ON n.raw_id = v.raw_id AND n.raw_id BETWEEN {low:d} AND {high:d}"
        f" JOIN raw_orders o ON o.raw_id = v.stored_raw_id AND o.raw_id BETWEEN {stored_low:d} AND {stored_high:d}"
        " WHERE (o.items, o.processes) IS DISTINCT FROM (n.items, n.processes)",
        {"stored_raw_id": pl.Int64()},
        keys=others.sort("raw_id"),
        like="orders",
        name="version_pairs",
    )
    return differing["stored_raw_id"]


_LAST_OF_SHOPS: Final = (
    "SELECT s.shop_id, (SELECT max(o.order_id) FROM orders o WHERE o.shop_id = s.shop_id) FROM shop_configs s"
)
_STORED: Final = (
    f"SELECT o.* FROM known_orders k CROSS JOIN LATERAL (SELECT {', '.join(ORDER_SCHEMA)}"  # noqa: S608  # constants only
    " FROM orders WHERE shop_id = k.shop_id AND order_id = k.order_id LIMIT 1) o"
)
"""With the limit each key is looked up, whatever the planner estimates."""

"""The write of the newest versions of orders that the store takes, with what follows from it for bad rows.

Used where new rows are compared with the stored orders (`orders.step`), and where orders are decided anew
(`orders.redecide`). The comparisons are rules (`orders.transform`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
import sqlalchemy as sa

from etl_assets.database.bisect_write import write_bisecting
from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.orders.conflicts import reject_conflicts, split_conflicts, with_known_identity
from etl_assets.orders.transform import ORDER_KEY, newest_versions
from etl_assets.quarantine.rows import resolve_rows

if TYPE_CHECKING:
    from collections.abc import Callable


class StoredOrders(NamedTuple):
    """Access to the stored orders."""

    read: Callable[[pl.DataFrame], pl.DataFrame]
    """Return the stored versions of the orders of versions (`ORDER_SCHEMA`)."""
    compare: Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]
    """Return the newest versions with their `change`, given the stored ones."""


class DecidedOrders(NamedTuple):
    """Orders, decided against the stored ones."""

    decided: pl.DataFrame
    """The newest version of each order, with its `change`."""
    versions: pl.DataFrame
    """All versions of these orders."""
    others: pl.DataFrame
    """Versions of other orders than those that have the numbers."""


def decide_newest(versions: pl.DataFrame, newest: pl.DataFrame, orders: StoredOrders) -> DecidedOrders:
    """Compare the newest version of each order with the stored one; writes nothing."""
    stored = orders.read(newest)
    versions, others = split_conflicts(versions, newest, stored)
    if others.height:
        newest = newest_versions(versions)
        stored = orders.read(newest)
    return DecidedOrders(orders.compare(with_known_identity(newest, versions), stored), versions, others)


def write_newest(
    connection: sa.Connection,
    versions: pl.DataFrame,
    newest: pl.DataFrame,
    orders: StoredOrders,
    write: Callable[[pl.DataFrame], None],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write the newest version of each order that the store takes.

    Hazard: a constraint or trigger of a user may refuse the newest version of an order, and the next older one is then
    the version that counts. So refused versions are taken away and the rest is compared anew, until the store takes one
    of each order or none is left (docs/decisions.md, "Refused versions").

    Args:
        connection: the batch's transaction.
        versions: good rows (`ORDER_SCHEMA`).
        newest: of those the newest of each order.
        orders: the stored orders to compare with.
        write: writes some of the compared versions.

    Returns:
        The written versions with their `change`, and the rejected ones (`REJECTED_SCHEMA`): refused by the store, or of
        another order than the one that has the number. All others are older than a written one.
    """
    written, rejected = [], []
    while True:
        decided, versions, others = decide_newest(versions, newest, orders)
        refused = write_bisecting(connection, decided, write)
        written.append(decided.join(refused, on="raw_id", how="anti"))
        # Without the refused version, the number may belong to another order.
        settled = others.join(refused, on=ORDER_KEY, how="anti")
        rejected += [refused.select(*REJECTED_SCHEMA), reject_conflicts(settled)]
        left = pl.concat([versions, others]).join(refused, on=ORDER_KEY, how="semi")
        versions = left.join(refused, on="raw_id", how="anti")
        if versions.is_empty():
            return pl.concat(written), pl.concat(rejected)
        newest = newest_versions(versions)


def record_order_types(connection: sa.Connection, written: pl.DataFrame) -> None:
    """Add to the list of order types, so that a check of them need not read all orders."""
    types = written.filter(pl.col("change").is_in(["inserted", "updated"]))["order_type"].drop_nulls().unique().sort()
    if types.len():
        connection.execute(
            sa.text(
                "INSERT INTO order_types (order_type) SELECT unnest(CAST(:types AS text[])) ON CONFLICT DO NOTHING"
            ),
            {"types": types.to_list()},
        )


_LATEST_ROW: Final = "greatest(raw_id, latest_raw_id), false FROM rejected_orders JOIN orders USING (shop_id, order_id)"
_LATEST_OF_LINES: Final = "latest_raw_id, false FROM rejected_orders JOIN line_versions USING (shop_id, order_id)"


def resolve_orders(
    connection: sa.Connection, latest: pl.DataFrame, rejected: pl.DataFrame, *, of_lines: bool = False
) -> None:
    """Resolve earlier bad rows of orders that have a good one now, and bad rows read after a later good one.

    Of rows of lines (`of_lines`) only those of lines, of all others only those of orders.
    """
    resolve_rows(connection, "orders", latest.with_columns(is_good=pl.lit(value=True)), of_lines=of_lines)
    keyed = rejected.drop_nulls(ORDER_KEY).select(*ORDER_KEY).unique()
    if keyed.is_empty():
        return
    copy_to_temp_table(connection, "orders", keyed, name="rejected_orders")
    stored = fetch_frame(
        connection,
        f"SELECT shop_id, order_id, {_LATEST_OF_LINES if of_lines else _LATEST_ROW}",  # constants
        {"shop_id": pl.Int32(), "order_id": pl.String(), "raw_id": pl.Int64(), "is_good": pl.Boolean()},
    )
    resolve_rows(connection, "orders", stored, of_lines=of_lines)

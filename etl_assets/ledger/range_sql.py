"""SQL fragments that read the rows of ranges of the queue, for bulk reads: integers and hexadecimal literals only.

Each returns text to be put behind FROM or at the end of a query; the aliases are part of the contract: `w` the range
(`batch_id, low, high`), `t` its import, `r` its raw order, `o` its order, `m` an order that moved, `d` one that was
deleted. For example

    f"SELECT o.order_no FROM {changed_orders(ranges)} {raw_rows()} {limit_clause(ranges)}"

makes, for the range (batch 7, raw ids 10 to 19),

    SELECT o.order_no
    FROM (VALUES (7, 10, 19)) w (batch_id, low, high)
    JOIN orders o ON o.batch_id = w.batch_id AND o.raw_id BETWEEN w.low AND w.high
    JOIN raw_orders r ON r.raw_id = o.raw_id AND r.raw_id BETWEEN w.low AND w.high
    LIMIT 10

and, for those of these orders whose customer is in the second of four buckets,

    f"SELECT o.order_no FROM {changed_orders(ranges)} WHERE {CustomerBucket(1, 4).condition('o.customer_global_id')}"

    SELECT o.order_no
    FROM (VALUES (7, 10, 19)) w (batch_id, low, high)
    JOIN orders o ON o.batch_id = w.batch_id AND o.raw_id BETWEEN w.low AND w.high
    WHERE o.customer_global_id >= '40000000-0000-0000-0000-000000000000'
    AND o.customer_global_id < '80000000-0000-0000-0000-000000000000'

Statements that change the queue are in `ledger.queue`, those of one asset in its step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from etl_assets.asset_graph import SPECS
from etl_assets.ledger.queue import max_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.ledger.queue import RawIdRange


@dataclass(frozen=True, slots=True)
class CustomerBucket:
    """One of `count` equal ranges of the customer UUID space, counted from 0.

    Ids are hashes, so they are spread evenly; of a range of them the server knows how many there are, and buckets in
    order are in the order of the indexes (docs/decisions.md, "Customer buckets").
    """

    index: int = 0
    count: int = 1

    def condition(self, column: str) -> str:
        """Return the SQL condition that the customer id in `column` is in this bucket."""
        above = [f"{column} >= '{self._bound(self.index)}'"] if self.index else []
        below = [f"{column} < '{self._bound(self.index + 1)}'"] if self.index + 1 < self.count else []
        return " AND ".join([*above, *below]) or f"{column} IS NOT NULL"

    def _bound(self, index: int) -> UUID:
        return UUID(int=(index << 128) // self.count)


ALL_CUSTOMERS: Final = CustomerBucket()
"""The bucket of all customers."""

LIVE: Final = "t.status = 'completed' AND r.corrects_reverted IS NOT TRUE"
"""SQL condition that a raw row `r` of an import `t` counts: neither its import is reverted nor that of a row that it
corrects. The one place of that condition (docs/decisions.md, "Reverted imports")."""


REWRITES_OTHERS: Final = "(t.is_redecided OR (t.mapping->>'holds') = 'lines')"
"""SQL condition on imports `t` whose batches write orders that come from rows of others; a partial index has them."""

BATCHES_OF_IMPORT: Final = f"""
    b.asset = 'orders' AND b.batch_id > :batch_id AND (:import_id = ANY (b.import_ids) OR EXISTS (
        SELECT FROM import_tasks t WHERE t.import_id = ANY (b.import_ids) AND {REWRITES_OTHERS}
    ))
"""
"""SQL condition on batches `b` of orders that may have written orders from the rows of an import: its own ones, and
those of reverted imports and of files of lines, which write orders that come from rows of others."""


def _as_values(ranges: Sequence[RawIdRange]) -> str:
    """Return the ranges as rows `(batch_id, low, high)` of a VALUES list."""
    return ", ".join(f"({r.batch_id:d}, {r.low:d}, {r.high:d})" for r in ranges)


def imported_rows(ranges: Sequence[RawIdRange]) -> str:
    """Return the FROM clause that reads ranges of imports: the range `w`, its import `t`, its raw orders `r`."""
    return (
        f"(VALUES {_as_values(ranges)}) w (batch_id, low, high)"
        " JOIN import_tasks t ON t.batch_id = w.batch_id"
        " JOIN raw_orders r ON r.import_id = t.import_id AND r.raw_id BETWEEN w.low AND w.high"
    )


def changed_orders(ranges: Sequence[RawIdRange]) -> str:
    """Return the FROM clause that reads ranges made by batches of `orders`: the range `w`, its orders `o`."""
    return (
        f"(VALUES {_as_values(ranges)}) w (batch_id, low, high)"
        " JOIN orders o ON o.batch_id = w.batch_id AND o.raw_id BETWEEN w.low AND w.high"
    )


def moved_orders(ranges: Sequence[RawIdRange]) -> str:
    """Return the FROM clause that reads orders that batches moved to another customer: the range `w`, the moves `m`."""
    return (
        f"(VALUES {_as_values(ranges)}) w (batch_id, low, high)"
        " JOIN order_moves m ON m.batch_id = w.batch_id AND m.raw_id BETWEEN w.low AND w.high"
    )


def deleted_orders(ranges: Sequence[RawIdRange]) -> str:
    """Return the FROM clause that reads orders that batches deleted: the range `w`, the deletions `d`."""
    return (
        f"(VALUES {_as_values(ranges)}) w (batch_id, low, high)"
        " JOIN deleted_orders d ON d.batch_id = w.batch_id AND d.raw_id BETWEEN w.low AND w.high"
    )


def orders_without_lines(columns: str, ranges: Sequence[RawIdRange]) -> str:
    """Return the query of the deleted orders `d` whose number no order has (one may have come again since)."""
    return (
        f"SELECT {columns} FROM {deleted_orders(ranges)} WHERE NOT EXISTS (SELECT FROM orders o"  # integers only
        " WHERE o.shop_id = d.shop_id AND o.order_id = d.order_id AND o.order_no = d.order_no)"
    )


def raw_rows() -> str:
    """Return the JOIN clause, to follow `changed_orders`, of the raw row `r` that each order came from.

    It repeats the bounds of the range: so the server reads a part of the index in order and does not look each row up.
    """
    return "JOIN raw_orders r ON r.raw_id = o.raw_id AND r.raw_id BETWEEN w.low AND w.high"


def limit_clause(ranges: Sequence[RawIdRange]) -> str:
    """Return a LIMIT clause that never cuts: it corrects the planner's estimate of the rows of ranges."""
    return f"LIMIT {max_rows(ranges):d}"


def raw_ids_query(asset: AssetName, ranges: Sequence[RawIdRange]) -> str:
    """Return the query of the raw ids of all rows that ranges hold for an asset."""
    if SPECS[asset].range_content == "imports":
        return f"SELECT r.raw_id FROM {imported_rows(ranges)}"
    orders, moves, deletions = changed_orders(ranges), moved_orders(ranges), deleted_orders(ranges)
    return f"SELECT o.raw_id FROM {orders} UNION SELECT m.raw_id FROM {moves} UNION SELECT d.raw_id FROM {deletions}"


def changed_customers(ranges: Sequence[RawIdRange], bucket: CustomerBucket = ALL_CUSTOMERS) -> str:
    """Return the query of the customers of a bucket that the orders of ranges name, or have left."""
    named, left, limit = "o.customer_global_id", "m.customer_global_id", limit_clause(ranges)
    return (
        f"(SELECT {named} FROM {changed_orders(ranges)} WHERE {bucket.condition(named)} {limit})"
        f" UNION (SELECT {left} FROM {moved_orders(ranges)} WHERE {bucket.condition(left)} {limit})"
    )


def anonymous_orders(columns: str, ranges: Sequence[RawIdRange], bucket: CustomerBucket, join: str = "") -> list[str]:
    """Return the query of the changed orders `o` without a customer, or none where the bucket gets no range.

    They have no id to share them out by: each bucket reads every so many of the ranges.
    """
    share = ranges[bucket.index :: bucket.count]
    orders = f"{changed_orders(share)} {join}"
    query = f"SELECT {columns} FROM {orders} WHERE o.customer_global_id IS NULL"
    return [f"({query} {limit_clause(share)})"] if share else []

"""SQL fragments that read the rows of ranges of the queue, for bulk reads: integers and hexadecimal literals only.

Each returns text to be put behind FROM or at the end of a query; the aliases are part of the contract: `w` the range
(`batch_id, low, high`), `t` its import, `r` its raw order, `o` its order, `m` an order that moved. For example

    f"SELECT o.order_no FROM {changed_orders(ranges)} {raw_rows()} {limit_clause(ranges)}"

makes, for the range (batch 7, raw ids 10 to 19),

    SELECT o.order_no
    FROM (VALUES (7, 10, 19)) w (batch_id, low, high)
    JOIN orders o ON o.batch_id = w.batch_id AND o.raw_id BETWEEN w.low AND w.high
    JOIN raw_orders r ON r.raw_id = o.raw_id AND r.raw_id BETWEEN w.low AND w.high
    LIMIT 10

What changes the queue itself is in `ledger.queue`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl_assets.asset_graph import SPECS
from etl_assets.ledger.queue import max_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.ledger.queue import RawIdRange


def _as_values(ranges: Sequence[RawIdRange]) -> str:
    """The ranges as rows `(batch_id, low, high)` of a VALUES list for a bulk read: integers only."""
    return ", ".join(f"({r.batch_id:d}, {r.low:d}, {r.high:d})" for r in ranges)


def imported_rows(ranges: Sequence[RawIdRange]) -> str:
    """What to put behind FROM to read ranges of imports: the range `w`, its import `t`, its raw orders `r`."""
    return (
        f"(VALUES {_as_values(ranges)}) w (batch_id, low, high)"
        " JOIN import_tasks t ON t.batch_id = w.batch_id"
        " JOIN raw_orders r ON r.import_id = t.import_id AND r.raw_id BETWEEN w.low AND w.high"
    )


def changed_orders(ranges: Sequence[RawIdRange], *, table: str = "orders", name: str = "o") -> str:
    """What to put behind FROM to read ranges of orders: the range `w`, and the rows of it in a table, as `name`.

    Args:
        ranges: made by batches of `orders`.
        table: one of ours with `batch_id` and `raw_id`.
        name: what the table is called in the query.
    """
    return (
        f"(VALUES {_as_values(ranges)}) w (batch_id, low, high)"
        f" JOIN {table} {name} ON {name}.batch_id = w.batch_id AND {name}.raw_id BETWEEN w.low AND w.high"
    )


def raw_ids_query(asset: AssetName, ranges: Sequence[RawIdRange]) -> str:
    """The query of the raw ids of all rows that ranges hold for an asset: integers only."""
    if SPECS[asset].range_content == "imports":
        return f"SELECT r.raw_id FROM {imported_rows(ranges)}"  # noqa: S608  # integers only
    moves = changed_orders(ranges, table="order_moves", name="m")
    return f"SELECT o.raw_id FROM {changed_orders(ranges)} UNION SELECT m.raw_id FROM {moves}"  # noqa: S608  # as above


def changed_customers(ranges: Sequence[RawIdRange], condition: Callable[[str], str]) -> str:
    """The query of the customers that the orders of ranges name, or have left.

    Args:
        ranges: made by batches of `orders`.
        condition: the SQL condition on the column of that name, for a part of the customers.
    """
    orders, moves = changed_orders(ranges), changed_orders(ranges, table="order_moves", name="m")
    named, left = "o.customer_global_id", "m.customer_global_id"
    return (
        f"(SELECT {named} FROM {orders} WHERE {condition(named)} {limit_clause(ranges)})"  # noqa: S608  # integers only
        f" UNION (SELECT {left} FROM {moves} WHERE {condition(left)} {limit_clause(ranges)})"
    )


def limit_clause(ranges: Sequence[RawIdRange]) -> str:
    """What to put behind a query of the rows of ranges: there are no more, but the planner takes many to be large."""
    return f"LIMIT {max_rows(ranges):d}"


def raw_rows() -> str:
    """What to put behind `changed_orders` to read the raw row `r` that each order came from.

    It says twice where those are: so the server reads a part of the index in order and does not look each row up.
    """
    return "JOIN raw_orders r ON r.raw_id = o.raw_id AND r.raw_id BETWEEN w.low AND w.high"

"""One order as it is stored, with its lines, its lead and its place in the imports; the lines of several orders.

How it came about, version by version, is read in `orders.history`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Sequence

MANY_RAW_ROWS: Final = 300_000
"""Raw rows from which on the versions of an order, which no index finds, are read on demand only."""


def read_order_details(connection: sa.Connection, shop_id: int, order_id: str) -> dict[str, Any] | None:
    """Read a stored order: its row, `shop`, `lead_id`, `source`, `line` and `items`; None where there is none."""
    key = {"shop_id": shop_id, "order_id": order_id}
    found = connection.execute(sa.text(_ORDER), key).mappings().one_or_none()
    if found is None:
        return None
    lines = read_lines(connection, [found["order_no"]])
    return {**found, **lines.get(found["order_no"], {"items": [], "processes": []})}


def read_shop(connection: sa.Connection, shop_id: int) -> dict[str, Any] | None:
    """Read `platform` and `shop_name` of a shop, also of one that was deleted; None where there never was one."""
    found = connection.execute(sa.text(_SHOP), {"shop_id": shop_id}).mappings().first()
    return None if found is None else dict(found)


def read_lines(connection: sa.Connection, order_nos: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Read the lines of orders by `order_no`: `items`, each with its `processes`; `processes` of the whole order."""
    if not order_nos:
        return {}
    numbers = {"order_nos": list(order_nos)}
    processes: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for row in connection.execute(sa.text(_PROCESSES), numbers).mappings():
        processes.setdefault((row["order_no"], row["line_no"]), []).append(dict(row))
    lines: dict[int, dict[str, Any]] = {
        number: {"items": [], "processes": processes.get((number, 0), [])} for number in order_nos
    }
    for row in connection.execute(sa.text(_ITEMS), numbers).mappings():
        of_line = processes.get((row["order_no"], row["line_no"]), [])
        lines[row["order_no"]]["items"].append({**row, "processes": of_line})
    return lines


def are_versions_slow(connection: sa.Connection) -> bool:
    """Return whether there are so many raw rows that reading the versions of an order takes a while."""
    return int(connection.execute(sa.text(_RAW_ROWS)).scalar_one()) > MANY_RAW_ROWS


_ORDER: Final = """
    SELECT o.*, s.platform, s.shop_name, coalesce(s.shown_name, s.shop_name) AS shop, a.lead_id, t.source,
           r.row_no AS line, t.completed_at AS imported_at
    FROM orders o
    LEFT JOIN shop_configs s ON s.shop_id = o.shop_id
    LEFT JOIN lead_orders a ON a.shop_id = o.shop_id AND a.order_id = o.order_id
    LEFT JOIN raw_orders r ON r.raw_id = o.raw_id
    LEFT JOIN import_tasks t ON t.import_id = r.import_id
    WHERE o.shop_id = :shop_id AND o.order_id = :order_id
"""
_SHOP: Final = """
    SELECT platform, shop_name FROM shop_configs WHERE shop_id = :shop_id
    UNION ALL SELECT platform, shop_name FROM deleted_shops WHERE shop_id = :shop_id
"""
_ITEMS: Final = """
    SELECT order_no, line_no, product, variant, sku, personalisation, quantity, unit_price
    FROM order_items WHERE order_no = ANY (:order_nos) ORDER BY order_no, line_no
"""
_PROCESSES: Final = """
    SELECT order_no, line_no, process_type, position, picture_count, quantity, picture_print_quantity
    FROM process_items WHERE order_no = ANY (:order_nos) ORDER BY order_no, line_no, process_no
"""
_RAW_ROWS: Final = "SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = to_regclass('raw_orders')"

"""Compare the tables of two ways: all business columns; shops and customers by name, as ids may differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIGURES = (
    "l.first_order_at, l.last_order_at, l.order_count, l.total_amount::numeric(38,4), l.sample_count,"
    " l.sample_amount::numeric(38,4), l.proof_count, l.proof_amount::numeric(38,4), l.bulk_count,"
    " l.bulk_amount::numeric(38,4), l.currency, l.other_currency_count"
)
QUERIES = {
    "shop_configs": "SELECT platform, shop_name, currency, timezone FROM shop_configs",
    "orders": (
        "SELECT s.platform, s.shop_name, o.order_id, o.customer_nickname, c.customer_key, o.latest_status,"
        " o.is_cancelled, o.order_type, o.system_order_type, o.amount::numeric(18,4), o.currency, o.ordered_at,"
        " o.source_updated_at FROM orders o JOIN shop_configs s USING (shop_id)"
        " LEFT JOIN customers c USING (customer_global_id)"
    ),
    "order_items": (
        "SELECT s.platform, s.shop_name, i.order_id, i.line_no, i.product, i.variant, i.sku, i.quantity,"
        " i.unit_price::numeric(18,4) FROM order_items i JOIN shop_configs s USING (shop_id)"
    ),
    "process_items": (
        'SELECT s.platform, s.shop_name, p.order_id, p.line_no, p.process_no, p.process_type, p."position",'
        " p.picture_count, p.quantity, p.picture_print_quantity FROM process_items p"
        " JOIN shop_configs s USING (shop_id)"
    ),
    "customers": (
        "SELECT s.platform, s.shop_name, c.customer_key, c.customer_nickname, c.first_order_at, c.last_order_at,"
        " c.order_count FROM customers c JOIN shop_configs s USING (shop_id)"
    ),
    "business_leads": (
        f"SELECT c.customer_key, l.lead_no, l.current_stage, {_FIGURES}"  # noqa: S608  # a constant
        " FROM business_leads l JOIN customers c USING (customer_global_id)"
    ),
    "lead_orders": (
        "SELECT s.platform, s.shop_name, a.order_id, c.customer_key, l.lead_no FROM lead_orders a"
        " JOIN shop_configs s USING (shop_id) JOIN business_leads l USING (lead_id)"
        " JOIN customers c USING (customer_global_id)"
    ),
    "quarantine": "SELECT asset, raw_id, reason_code FROM quarantine",
}


@dataclass(frozen=True, slots=True)
class Print:
    """Number of rows of a table, and a hash of them that does not depend on their order."""

    rows: int
    hash: int


def fingerprints(url: str, schema: str) -> dict[str, Print]:
    """Return the fingerprint of each table of the schema."""
    prints = {}
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(schema)))
        connection.execute("SET timezone = 'UTC'; SET work_mem = '256MB'")
        for table, query in QUERIES.items():
            statement = f"SELECT count(*), coalesce(sum(hashtextextended(x::text, 0)::numeric), 0) FROM ({query}) x"  # noqa: S608
            rows, total = connection.execute(statement).fetchone() or (0, 0)
            prints[table] = Print(rows, int(total))
    return prints


def require_equal(way: str, actual: Mapping[str, Print], ours: Mapping[str, Print]) -> None:
    """Refuse to time a way with different results.

    Raises:
        RuntimeError: it names the tables.
    """
    differing = [
        f"{table} ({actual[table].rows} rows, ours {one.rows})" for table, one in ours.items() if actual[table] != one
    ]
    if differing:
        msg = f"{way} comes to other results than ours: {', '.join(differing)}"
        raise RuntimeError(msg)
